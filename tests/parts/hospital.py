"""A hospital in a temporary folder: real keys, certificates and configuration, and the real command line."""

import atexit
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep, time

import grpc
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.parts.certificates import CertificateAuthority

from pericard_protocol.channel import Identity, channel_credentials, channel_options
from pericard_protocol.proto.uplink_pb2 import Ack, KeyBundle, KeyBundleRequest, OpenedFrame, Sealed
from pericard_protocol.proto.uplink_pb2_grpc import UplinkStub
from pericard_protocol.uplink.session import MAX_MESSAGE_BYTES, SessionSealer

CONFIG = """
[tls]
certificate = "server.pem"
key = "server.key"
ca = "ca.pem"

[listen]
address = "127.0.0.1:0"

[keys]

[records]
suite = "{suite}"
"""

RUN = "import sys; from pericard_server.cli import server; server(prog_name='server')"


@dataclass
class Hospital:
    folder: Path
    authority: CertificateAuthority

    @property
    def config(self) -> Path:
        return self.folder / "server.toml"

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`pericard server …`, without the tools distribution."""
        done = subprocess.run(
            [sys.executable, "-c", RUN, *words, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    @contextmanager
    def running(self) -> Iterator[str]:
        """The server as a process; gives its address."""
        ready = self.folder / f"ready-{os.urandom(4).hex()}"
        with (self.folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", RUN, "run", "--ready-file", str(ready), "--config", str(self.config)],
                stderr=log,
            )
        try:
            deadline = monotonic() + 60
            while not ready.exists():
                assert process.poll() is None, (self.folder / "server.log").read_text()
                assert monotonic() < deadline, "the server did not get ready"
                sleep(0.02)
            yield ready.read_text()
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 0

    def identity(self, name: str) -> Identity:
        """A client's TLS identity with `name` in its certificate."""
        issued: Identity = self.authority.issue(name)
        return issued

    def gateway(self, name: str) -> MLDSA65PrivateKey:
        """Registers a gateway; its signing key."""
        key = MLDSA65PrivateKey.generate()
        public = self.folder / f"{name}.pub.pem"
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        self.command("gateway", "add", name, str(public))
        return key

    def deliver(self, address: str, frames: list[OpenedFrame], name: str = "localhost") -> None:
        """Has a newly registered gateway deliver the frames, and checks that they are committed."""
        signer = self.gateway("ward-1")
        options = channel_options(MAX_MESSAGE_BYTES, server_name=name)
        credentials = channel_credentials(self.identity("ward-1"))
        with grpc.secure_channel(address, credentials, options=options) as channel:
            stub = UplinkStub(channel)
            signed = stub.GetKeyBundle(KeyBundleRequest(suites=[0x647A]), timeout=60)
            session = SessionSealer(KeyBundle.FromString(signed.bundle), "ward-1", signer, time())
            parts = [Sealed(session=session.header), Sealed(record=session.seal(frames))]
            assert [ack.status for ack in stub.Ingest(iter(parts), timeout=60)] == [Ack.COMMITTED]


def make(
    folder: Path, authority: CertificateAuthority, suite: str = "aes-256-gcm-siv", more: str = ""
) -> Hospital:
    """A hospital in `folder`; `more` is added to its configuration."""
    made = _configured(folder, authority, suite, more)
    shutil.copytree(_initialised() / "keys", folder / "keys")
    shutil.copy(_initialised() / "records.db", folder)
    return made


def _configured(folder: Path, authority: CertificateAuthority, suite: str, more: str) -> Hospital:
    own = authority.issue("localhost")
    (folder / "server.toml").write_text(CONFIG.format(suite=suite) + more)
    (folder / "server.pem").write_bytes(own.certificate)
    (folder / "server.key").write_bytes(own.private_key)
    (folder / "server.key").chmod(0o600)
    (folder / "ca.pem").write_bytes(own.authorities)
    return Hospital(folder, authority)


@cache
def _initialised() -> Path:
    """Where `init` has made keys and an empty database, once: migrations take longer than most tests."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    one = _configured(Path(folder.name), CertificateAuthority(), "aes-256-gcm-siv", "")
    one.command("init")
    assert {path.name for path in one.folder.iterdir()} >= {"keys", "records.db"}
    return one.folder
