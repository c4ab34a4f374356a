"""A process says when it is ready, and ends when it is told to, whatever hangs in it."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.parts.crash import dumps_core

from pericard_edge.systemd import watchdog_seconds

SERVER = """
import sys, threading, time
import pericard_edge.serving as edge
from pericard_edge.jsonlog import log_to_stderr

class Server:
    def add_secure_port(self, address, credentials):
        return 7
    def start(self):
        pass
    def stop(self, grace):
        assert grace == 0.1
        ended = threading.Event()
        {answer}
        return ended

log_to_stderr()
edge.GRACE_SECONDS, edge._MARGIN_SECONDS = 0.1, 0.1
with edge.serving(Server(), "[::1]:0", None, lambda: print("released")) as address:
    print(address)
    {work}
print("went on")
"""


@pytest.mark.parametrize(
    ("answer", "work", "code", "printed"),
    [
        ("ended.set()", "pass", 0, ["released", "went on"]),
        ("pass", "pass", 0, ["released"]),
        ("pass", "raise ValueError", 1, ["released"]),
        ("ended.set()", "raise ValueError", 1, ["released"]),
    ],
)
def test_it_ends_with_or_without_the_servers_end(
    answer: str, work: str, code: int, printed: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVER.format(answer=answer, work=work)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout.splitlines()) == (code, ["[::1]:7", *printed])
    assert ("is left behind" in done.stderr) == (answer == "pass")


THREADED = """
from pericard_edge.process import ready, stop_event
stop = stop_event({seconds})
with ready(Path(sys.argv[1]), "127.0.0.1:1"):
    stop.wait()
"""
IN_A_LOOP = """
from pericard_edge.process import ready, stop_event_in_loop
async def main():
    stop = stop_event_in_loop({seconds})
    with ready(Path(sys.argv[1]), "127.0.0.1:1"):
        await stop.wait()
asyncio.run(main())
"""
BEGIN = "import asyncio, sys, threading, time\nfrom pathlib import Path\n"
HANG = "threading.Thread(target=time.sleep, args=(60,)).start()  # the interpreter waits for it\n"


@pytest.mark.parametrize("program", [THREADED, IN_A_LOOP])
@pytest.mark.parametrize(("hang", "code"), [("", 0), (HANG, 1)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_its_time(
    program: str, hang: str, code: int, number: int, tmp_path: Path
) -> None:
    file, told = tmp_path / "ready", tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(told))
        systemd.settimeout(20)
        with subprocess.Popen(
            [sys.executable, "-c", BEGIN + hang + program.format(seconds=1.0), file],
            stderr=subprocess.PIPE,
            env={"NOTIFY_SOCKET": str(told)},
        ) as process:
            assert systemd.recv(100) == b"READY=1"
            assert file.read_text() == "127.0.0.1:1"
            began = time.monotonic()
            process.send_signal(number)
            assert process.wait(20) == code
            assert (time.monotonic() - began >= 1.0) == bool(hang)
            assert systemd.recv(100) == b"STOPPING=1"
            assert process.stderr is not None
            assert (b"left behind" in process.stderr.read()) == bool(hang)
    assert not file.exists()


@pytest.mark.parametrize(
    ("said", "seconds"), [("30000000", 15.0), ("0", None), ("", None), ("x", None), ("-1", None)]
)
def test_a_watched_process_reports_twice_in_its_time(
    said: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", said)
    assert watchdog_seconds() == seconds


def test_a_crash_leaves_no_memory_on_the_disk(tmp_path: Path) -> None:
    """A dump of the KMS holds every key, one of the hospital its readings; the gateway's its device keys."""
    crash = "os.abort()"
    command = "from pericard_edge.command import run_alone\nrun_alone(lambda prog_name: os.abort(), 'x')"
    if not dumps_core(crash, tmp_path):
        pytest.skip("this machine writes no core dump of any program")
    assert not dumps_core(command, tmp_path)
