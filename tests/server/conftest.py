"""A hospital in a temporary folder: real keys, certificates and configuration, and the real command line."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pericard_protocol.channel import Identity

CONFIG = """
[tls]
certificate = "server.pem"
key = "server.key"
ca = "ca.pem"

[listen]
address = "127.0.0.1:0"

[records]
suite = "{suite}"
"""


@dataclass
class Hospital:
    folder: Path
    authority: Any

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
            deadline = monotonic() + 30
            while not ready.exists():
                assert process.poll() is None, (self.folder / "server.log").read_text()
                assert monotonic() < deadline, "the server did not get ready"
                sleep(0.02)
            yield ready.read_text()
        finally:
            process.terminate()
            assert process.wait(timeout=20) == 0

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


RUN = "import sys; from pericard_server.cli import server; server(prog_name='server')"


@pytest.fixture
def make_hospital(tmp_path: Path, authority: Any) -> Callable[[str], Hospital]:
    def make(suite: str = "aes-256-gcm-siv") -> Hospital:
        own = authority.issue("localhost")
        (tmp_path / "server.toml").write_text(CONFIG.format(suite=suite))
        (tmp_path / "server.pem").write_bytes(own.certificate)
        (tmp_path / "server.key").write_bytes(own.private_key)
        (tmp_path / "server.key").chmod(0o600)
        (tmp_path / "ca.pem").write_bytes(own.authorities)
        made = Hospital(tmp_path, authority)
        made.command("init")
        return made

    return make


@pytest.fixture
def hospital(make_hospital: Callable[[str], Hospital]) -> Hospital:
    return make_hospital("aes-256-gcm-siv")
