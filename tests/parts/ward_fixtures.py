"""A hospital and a ward for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from tests.parts.certificates import CertificateAuthority
from tests.parts.ward import Device, StandInHospital, Ward, new_line, public_pem, serving


@pytest.fixture(scope="session")
def signer() -> MLDSA65PrivateKey:
    return MLDSA65PrivateKey.generate()


@pytest.fixture
def hospital(signer: MLDSA65PrivateKey) -> StandInHospital:
    return StandInHospital("ward-1", signer.public_key())


@pytest.fixture
def server_port(hospital: StandInHospital, authority: CertificateAuthority) -> Iterator[int]:
    with serving(hospital, authority.issue("server.test")) as port:
        yield port


@pytest.fixture
def ward(
    tmp_path: Path,
    hospital: StandInHospital,
    server_port: int,
    signer: MLDSA65PrivateKey,
    authority: CertificateAuthority,
) -> Iterator[Ward]:
    one = Ward(
        folder=tmp_path,
        tls=authority.issue("ward-1"),
        pinned=public_pem(hospital.identity),
        signer=signer,
        devices=[Device(1), Device(2)],
        lines=[new_line()],
        server_port=server_port,
    )
    yield one
    if one.process is not None and one.process.poll() is None:
        one.kill()
    for line in one.lines:
        line.close()
