"""A real hospital and a real gateway, each its own process, and a pseudo-terminal as the devices' line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from tests.parts.certificates import CertificateAuthority
from tests.parts.hospital_process import HospitalProcess
from tests.parts.ports import lasting_port
from tests.parts.ward import Device, Ward, new_line, public_pem


@pytest.fixture
def hospital(tmp_path: Path, authority: CertificateAuthority) -> Iterator[HospitalProcess]:
    folder = tmp_path / "hospital"
    folder.mkdir()
    identity = authority.issue("server.test")
    for name, content in {
        "server.pem": identity.certificate,
        "server.key": identity.private_key,
        "ca.pem": identity.authorities,
        "ca.key": authority.private_key,
    }.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    port, enrolment = lasting_port(), lasting_port()
    (folder / "server.toml").write_text(
        '[tls]\ncertificate = "server.pem"\nkey = "server.key"\nca = "ca.pem"\n'
        f'[listen]\naddress = "127.0.0.1:{port}"\n'
        '[keys]\nfolder = "keys"\n'
        f'[enrolment]\naddress = "127.0.0.1:{enrolment}"\nauthority_key = "ca.key"\n'
    )
    one = HospitalProcess(folder, port, enrolment)
    one.command("init")
    yield one
    if one.process is not None and one.process.poll() is None:
        one.kill()


@pytest.fixture
def ward(tmp_path: Path, hospital: HospitalProcess, authority: CertificateAuthority) -> Iterator[Ward]:
    folder = tmp_path / "ward"
    folder.mkdir()
    signer = MLDSA65PrivateKey.generate()
    (folder / "public.pem").write_bytes(public_pem(signer))
    hospital.command("gateway", "add", "ward-1", str(folder / "public.pem"))
    one = Ward(
        folder=folder,
        tls=authority.issue("ward-1"),
        pinned=hospital.command("identity").encode(),
        signer=signer,
        devices=[Device(1), Device(2)],
        lines=[new_line()],
        server_port=hospital.port,
    )
    yield one
    if one.process is not None and one.process.poll() is None:
        one.kill()
    for line in one.lines:
        line.close()
