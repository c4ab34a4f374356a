"""Sealed packs from a test hospital, and a bare gRPC client that can misbehave."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.parts.certificates import CertificateAuthority
from tests.parts.cloud import CloudProcess

from pericard_protocol import channel
from pericard_protocol.fhe.objects import key_fingerprint
from pericard_protocol.fhe.parameters import MOMENTS
from pericard_protocol.proto import statistics_pb2 as messages

SEALER = Path(__file__).parents[1] / "parts" / "sealer.py"
PACKS = 20  # more than one shard


class Sealed:
    """Keys, clear values complex128[packs, slots] and their ciphertexts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, SEALER, "make", folder, str(PACKS)], check=True, timeout=60)
        self.key = (folder / "relinearisation.key").read_bytes()
        self.secret = (folder / "secret.key").read_bytes()
        self.fingerprint = key_fingerprint(MOMENTS.name, self.key)
        self.values = np.load(folder / "values.npy")
        self.ciphertexts = [(folder / f"{n}.ciphertext").read_bytes() for n in range(PACKS)]

    def open(self, ciphertext: bytes) -> Any:
        file = self.folder / "result"
        file.write_bytes(ciphertext)
        subprocess.run([sys.executable, SEALER, "open", self.folder, file], check=True, timeout=60)
        return np.load(file.with_suffix(".npy"))

    def job(self, **changes: Any) -> bytes:
        described: dict[str, Any] = {
            "job_id": bytes(16),
            "parameters": MOMENTS.name,
            "key_fingerprint": self.fingerprint,
            "statistic": "moments",
            "ciphertexts": PACKS,
        }
        return messages.JobPart(job=messages.Job(**described | changes)).SerializeToString()

    def parts(self, ciphertexts: Sequence[bytes] | None = None) -> list[bytes]:
        sent = self.ciphertexts if ciphertexts is None else ciphertexts
        return [messages.JobPart(ciphertext=data).SerializeToString() for data in sent]

    def key_parts(self, key: bytes | None = None, parameters: str = MOMENTS.name) -> list[bytes]:
        data = self.key if key is None else key
        first = messages.KeyPart(description=messages.KeyDescription(parameters=parameters))
        rest = [messages.KeyPart(data=data[at : at + (1 << 18)]) for at in range(0, len(data), 1 << 18)]
        return [part.SerializeToString() for part in (first, *rest)]


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    return Sealed(tmp_path_factory.mktemp("sealed"))


class Client:
    """Sends whatever bytes it is given; `SERVICE` methods by name."""

    SERVICE = "/pericard.protocol.statistics.v1.BlindStatistics/"

    def __init__(self, to: grpc.Channel) -> None:
        self.channel = to

    def put_key(self, parts: Sequence[bytes], timeout: float | None = 30.0) -> bytes:
        answer = self.channel.stream_unary(self.SERVICE + "PutKey")(iter(parts), timeout=timeout)
        fingerprint: bytes = messages.KeyReceipt.FromString(answer).fingerprint
        return fingerprint

    def compute(self, parts: Sequence[bytes], timeout: float | None = 30.0) -> list[Any]:
        return [messages.JobEvent.FromString(data) for data in self.start(iter(parts), timeout)]

    def start(self, parts: Iterator[bytes], timeout: float | None) -> Any:
        return self.channel.stream_stream(self.SERVICE + "Compute")(parts, timeout=timeout)


@pytest.fixture(scope="session")
def connect(authority: CertificateAuthority) -> Iterator[Callable[..., Client]]:
    opened: list[grpc.Channel] = []

    def _connect(
        cloud: CloudProcess, name: str = "hospital.test", identity: channel.Identity | None = None
    ) -> Client:
        opened.append(
            grpc.secure_channel(
                cloud.address,
                channel.channel_credentials(identity or authority.issue(name)),
                options=channel.channel_options(16 << 20, "cloud.test"),
            )
        )
        return Client(opened[-1])

    yield _connect
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def client(connect: Callable[..., Client], cloud: CloudProcess) -> Client:
    return connect(cloud)
