"""A hospital that gateways really deliver to, as a process that tests start, kill and start again."""

import dataclasses
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.parts.waiting import until


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
