"""A cloud as a process of its own, its log, and the workers below it."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pericard_edge import files
from pericard_protocol.channel import Identity


class CloudProcess:
    """A real cloud, as `pericard cloud run` without the tools distribution: its own process."""

    def __init__(self, folder: Path, identity: Identity, **limits: float) -> None:
        (folder / "cloud.pem").write_bytes(identity.certificate)
        files.write(folder / "cloud.key", identity.private_key)
        (folder / "ca.pem").write_bytes(identity.authorities)
        (folder / "cloud.toml").write_text(
            '[listen]\naddress = "127.0.0.1:0"\n\n'
            '[tls]\ncertificate = "cloud.pem"\nkey = "cloud.key"\nca = "ca.pem"\n\n'
            '[clients]\nallowed = ["hospital.test", "other-hospital.test"]\n\n'
            "[metrics]\n\n"
            "[limits]\n" + "".join(f"{name} = {value}\n" for name, value in limits.items())
        )
        self.folder = folder
        self.ready_file = folder / "ready"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from pericard_cloud.cli import cloud; cloud(prog_name='cloud')"),
                *("run", "--config", folder / "cloud.toml", "--ready-file", self.ready_file),
            ],
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        self.log: list[str] = []
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self.wait_for(lambda: '"serving"' in "".join(self.log)):
            self.stop()
            raise AssertionError("the cloud did not start:\n" + "".join(self.log))
        (serving,) = (json.loads(line) for line in self.log if '"serving"' in line)
        self.pages = serving["pages"]
        self.address = self.ready_file.read_text()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._grown:
                self.log.append(line)
                self._grown.notify_all()

    def wait_for(self, said: Callable[[], bool]) -> bool:
        """Waits until the log makes `said` true."""
        with self._grown:
            return self._grown.wait_for(said, timeout=60)

    def refusals(self) -> dict[str, int]:
        """Refusals by reason, as the log has them so far."""
        lines = [json.loads(line) for line in self.log if line.startswith("{")]  # gRPC's core logs here, too
        return {line["reason"]: line["number"] for line in lines if line["event"] == "refused"}

    def workers(self) -> list[int]:
        """The process ids of its workers: children of its fork server."""
        below = {self.process.pid}
        found: list[int] = []
        for _ in range(2):
            below = {pid for parent in below for pid in _children(parent)}
            found = sorted(below)
        return found

    def stop(self) -> int:
        """Ends it and gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")  # each thread has those that it started
    return [int(child) for one in lists for child in one.read_text().split()]
