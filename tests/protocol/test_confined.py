"""Confined calls. Invariant: a call gives its bytes or WorkerFailed with the reason; the next call works."""

import multiprocessing
import os
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest

from pericard_edge.confined import ConfinedExecutor, Limits, WorkerFailed


@pytest.fixture(scope="module")
def confined() -> Iterator[ConfinedExecutor]:
    with ConfinedExecutor(1, Limits(memory_bytes=512 << 20, seconds=4.0, answer_bytes=1 << 20)) as executor:
        yield executor


def test_it_returns_the_bytes(confined: ConfinedExecutor) -> None:
    assert confined.submit(struct.unpack, "2s0s3s", b"abcde").result() == (b"ab", b"", b"cde")
    assert confined.submit(tuple[bytes, ...], [bytes(1 << 20)]).result() == (bytes(1 << 20),)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ((os.abort,), "died of SIGABRT"),
        ((os._exit, 3), "left with exit code 3"),
        ((time.sleep, 60), "took longer than 4 seconds"),
        ((bytearray, 1 << 40), "MemoryError"),
        ((bytearray, 600 << 20), "MemoryError"),
        ((struct.unpack, "4s", b""), "error: unpack requires a buffer of 4 bytes"),
        ((os.getpid,), "must return a tuple of bytes"),
        ((tuple[bytes, ...], [bytes((1 << 20) + 1)]), "sent what is no answer"),
        ((os.closerange, 3, 4096), "left with exit code 1"),
    ],
)
def test_a_failed_call_has_its_reason_and_the_next_one_works(
    confined: ConfinedExecutor, call: tuple[Any, ...], reason: str
) -> None:
    with pytest.raises(WorkerFailed, match=reason):
        confined.submit(*call).result()
    assert confined.submit(tuple[bytes, ...], [b"well"]).result() == (b"well",)


def test_a_worker_that_cannot_start_fails_its_call_only() -> None:
    """There is no file descriptor left for its pipe."""
    with ConfinedExecutor(1, Limits()) as executor:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            failed = executor.submit(tuple[bytes, ...], [b"x"])
            with pytest.raises(WorkerFailed, match="could not be started: Too many open files"):
                failed.result()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert executor.submit(tuple[bytes, ...], [b"x"]).result() == (b"x",)


def test_a_worker_writes_no_file(confined: ConfinedExecutor, tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match="File too large"):
        confined.submit(Path.write_bytes, tmp_path / "leak", b"secret").result()
    assert (tmp_path / "leak").read_bytes() == b""


def environments() -> tuple[bytes, ...]:
    """A worker's own environment, what it was started with, and what its fork server was started with."""
    return (
        repr(dict(os.environ)).encode(),
        Path("/proc/self/environ").read_bytes(),
        Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        Path(f"/proc/{os.getppid()}/cmdline").read_bytes(),
    )


_ASK = """
import sys
from tests.protocol.test_confined import environments
from pericard_edge import confined
if __name__ == "__main__":
    if "late" in sys.argv:
        confined._CONTEXT.set_forkserver_preload([])
    with confined.ConfinedExecutor(1, confined.Limits()) as executor:
        for part in executor.submit(environments).result():
            print(part)
"""
_SECRETS = {
    "PERICARD_KMS_TOKEN": "hvs.secret",
    "DATABASE_URL": "postgres://u:secret@h/d",
    "NEW_SECRET": "secret",
}


def ask(*words: str) -> "subprocess.CompletedProcess[str]":
    """A process of its own: the fork server of this one was started before, with another environment."""
    return subprocess.run(
        [sys.executable, "-c", _ASK, *words],
        env=os.environ | _SECRETS,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )


def test_no_worker_sees_a_secret_of_its_parents_environment() -> None:
    """Invariant: neither its environment nor its fork server's holds one; the parent's does."""
    done = ask()
    assert done.returncode == 0, done.stderr
    assert "multiprocessing.forkserver" in done.stdout  # it is the fork server that was looked at
    assert "PATH" in done.stdout
    assert "secret" not in done.stdout.lower()


def test_a_worker_with_its_parents_environment_does_no_work() -> None:
    """The fork server was started without its preparation."""
    done = ask("late")
    assert done.returncode != 0
    assert "WorkerFailed: UsageError: the worker's environment has more than a worker may know" in done.stderr


def test_a_failure_is_its_own() -> None:
    """While one of two workers dies, the other's calls go on."""
    with ConfinedExecutor(2, Limits(seconds=60)) as executor:
        calls: list[Future[Any]] = [
            executor.submit(os.abort) if n % 3 == 0 else executor.submit(tuple, [b"x"]) for n in range(12)
        ]
        wait(calls)
        assert [call.exception() is not None for call in calls] == [n % 3 == 0 for n in range(12)]


def test_shutdown_leaves_no_process() -> None:
    with ConfinedExecutor(1, Limits()) as executor:
        before = set(multiprocessing.active_children())
        executor.submit(tuple[bytes, ...], [b"started"]).result()
        (worker,) = set(multiprocessing.active_children()) - before
        assert worker.is_alive()
    assert worker not in multiprocessing.active_children()


def test_killed_workers_fail_every_call_at_once_and_none_starts_again() -> None:
    with ConfinedExecutor(1, Limits(seconds=60)) as executor:
        executor.submit(tuple[bytes, ...], [b"started"]).result()
        computing, waiting = (executor.submit(time.sleep, 60) for _ in range(2))
        while not computing.running():
            time.sleep(0.01)
        executor.kill()
        for call in (computing, waiting, executor.submit(tuple[bytes, ...], [b"late"])):
            with pytest.raises(WorkerFailed):
                call.result(timeout=10)
