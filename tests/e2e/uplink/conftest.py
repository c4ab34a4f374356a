"""A real hospital and a real gateway, each its own process, and a pseudo-terminal as the devices' line."""

import dataclasses
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from tests.parts.ports import lasting_port
from tests.parts.ward import Device, Ward, new_line, public_pem, until


def server_command(*words: str) -> list[str]:
    return [sys.executable, "-m", "pericard_tools", "server", *words]


@dataclasses.dataclass
class HospitalProcess:
    folder: Path
    port: int
    enrolment: int
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def config(self) -> Path:
        return self.folder / "server.toml"

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [*server_command(*words), "--config", str(self.config)],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def launch(self) -> Path:
        """Starts it; the file that says that it is ready."""
        ready = self.folder / f"ready-{self.starts}"
        self.starts += 1
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*server_command("run"), "--config", str(self.config), "--ready-file", str(ready)], stderr=log
            )
        return ready

    def start(self) -> None:
        until(self.launch().exists, lambda: (self.folder / "server.log").read_text())

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stored(self) -> list[tuple[int, int, int]]:
        """(device, boot, seq) of every row, sorted; a frame stored twice would stand twice."""
        path = f"file:{self.folder / 'records.db'}?mode=ro"
        with closing(sqlite3.connect(path, uri=True)) as database:
            return database.execute(
                "SELECT device, boot, seq FROM records_reading ORDER BY 1, 2, 3"
            ).fetchall()


@pytest.fixture
def hospital(tmp_path: Path, authority: Any) -> Iterator[HospitalProcess]:
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
def ward(tmp_path: Path, hospital: HospitalProcess, authority: Any) -> Iterator[Ward]:
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
