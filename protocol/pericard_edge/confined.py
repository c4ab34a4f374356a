"""Runs functions that touch hostile bytes in processes that may die: an `Executor` with limits.

Native code that parses what a peer sent (SEAL, for one) can crash, loop, or ask for all memory. Here each
call runs in a worker process with a bound on memory and time; a worker that dies or is late fails that one
call with its reason, and its place is taken by a new one.

Two things differ from `ProcessPoolExecutor`, whose interface this has. There, the death of one worker fails
every call under way; here, only that worker's call. There, the parent unpickles what a worker returns, so a
worker that hostile input has taken over could run code in the parent; here, a function returns
`tuple[bytes, ...]` and the parent unpickles nothing.

Workers come from multiprocessing's fork server, with none of the secrets in this process's environment
(`fork_server`). They leave by `os._exit`, which matters for Pyfhel: two of
its libraries hold SEAL's globals, and destroying those twice at a normal exit corrupts the heap (seen).
"""

import math
import multiprocessing
import os
import queue
import resource
import signal
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from pericard_edge import fork_server
from pericard_edge.process import forbid_core_dumps
from pericard_protocol.errors import PericardError, UsageError

P = ParamSpec("P")
T = TypeVar("T")

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([fork_server.__name__])
_RETURNED, _RAISED = b"\0", b"\1"
_COUNT = struct.Struct("<H")
_MAX_ERROR_BYTES = 500  # of a worker's error text, which hostile input may have written


class WorkerFailed(PericardError):
    """The call did not return; the message has the reason: an error, a death, or its time was over."""


@dataclass(frozen=True)
class Limits:
    """What one worker may use.

    Attributes:
        memory_bytes: address space, libraries included (Python, numpy and SEAL map about 0.2 GB).
        seconds: wall time of one call, after which the worker is killed.
        answer_bytes: the largest part of an answer.
    """

    memory_bytes: int = 1 << 30
    seconds: float = 60.0
    answer_bytes: int = 16 << 20


class ConfinedExecutor(Executor):
    """`workers` processes, each started when first needed. Functions must return `tuple[bytes, ...]`."""

    def __init__(self, workers: int, limits: Limits) -> None:
        self._limits = limits
        # A thread for every process: it waits for the answer, and watches the clock.
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="confined")
        self._workers = [_Worker(limits) for _ in range(workers)]
        # The worker used last is taken first, so that no more are started than are needed.
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)
        #: When a call last returned, by `time.monotonic`.
        self.returned_at = -math.inf

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls `fn`, a function that can be imported, in a worker.

        The future raises `WorkerFailed` when the call fails in any way.
        """
        return self._threads.submit(self._call, fn, args, kwargs)

    def _call(self, fn: Any, args: Any, kwargs: Any) -> Any:
        worker = self._idle.get()  # never waits: there are as many workers as threads
        try:
            answer = worker.call(fn, args, kwargs)
            self.returned_at = time.monotonic()
            return answer
        finally:
            self._idle.put(worker)

    def kill(self) -> None:
        """Fails every call, under way or to come: its worker is killed, and none is started any more.

        For the end of a process, which must not wait for what a worker computes.
        """
        for worker in self._workers:
            worker.retire()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the workers; with `wait`, after the calls that run."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        while not self._idle.empty():
            self._idle.get().stop()


class _Worker:
    """A worker process, started by the first call, and by the next call after it died."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: Any = None
        self._pipe: Connection | None = None
        self._retired = False
        # `retire` is called from another thread than the calls: this lock keeps it from running while a call
        # starts or ends the process.
        self._changing = threading.Lock()

    def call(self, fn: Any, args: Any, kwargs: Any) -> tuple[bytes, ...]:
        if self._process is None:
            self._start()
        assert self._pipe is not None  # noqa: S101 - _start sets it
        # A timer kills a late worker. Reads that time out would not do: a worker could send half an answer,
        # and then nothing more.
        late = threading.Event()
        clock = threading.Timer(self._limits.seconds, _expire, (late, self._process))
        clock.start()
        try:
            self._pipe.send((fn, args, kwargs))
            head = self._pipe.recv_bytes(_MAX_ERROR_BYTES + 1)
            if head[:1] != _RETURNED:
                raise WorkerFailed(head[1:].decode(errors="replace"))
            (parts,) = _COUNT.unpack(head[1:])
            return tuple(self._pipe.recv_bytes(self._limits.answer_bytes) for _ in range(parts))
        except (OSError, EOFError, struct.error):
            clock.cancel()
            clock.join()
            reason = f"took longer than {self._limits.seconds:g} seconds" if late.is_set() else self._end()
            self.stop()
            raise WorkerFailed(f"its worker {reason} and was ended") from None
        finally:
            clock.cancel()
            clock.join()  # a kill under way must not hit the next call's process

    def _start(self) -> None:
        with self._changing:
            if self._retired:
                raise WorkerFailed("its worker was not started: this process ends")
            try:
                pipe, theirs = _CONTEXT.Pipe()
            except OSError as error:
                raise WorkerFailed(f"its worker could not be started: {error.strerror}") from None
            process = _CONTEXT.Process(target=_serve, args=(theirs, self._limits.memory_bytes), daemon=True)
            try:
                process.start()
            except (OSError, EOFError) as error:  # EOFError: the fork server died on it
                pipe.close()
                raise WorkerFailed(f"its worker could not be started: {error}") from None
            finally:
                theirs.close()
            self._pipe, self._process = pipe, process

    def _end(self) -> str:
        self._process.join(timeout=1.0)
        code = self._process.exitcode
        if code is None:
            return "sent what is no answer"
        return f"died of {signal.Signals(-code).name}" if code < 0 else f"left with exit code {code}"

    def stop(self) -> None:
        """Ends the process, if there is one, and waits for its end."""
        with self._changing:
            if self._process is not None and self._pipe is not None:
                self._pipe.close()
                self._process.kill()
                self._process.join()
                self._process.close()
            self._process = self._pipe = None

    def retire(self) -> None:
        """Kills the process, if there is one, and starts no other. The call under way, if any, cleans up."""
        with self._changing:
            self._retired = True
            if self._process is not None:
                self._process.kill()


def _expire(late: threading.Event, process: Any) -> None:
    late.set()
    process.kill()


def _serve(pipe: Connection, memory_bytes: int) -> None:
    """The worker: calls until the parent is gone."""
    bare = (
        fork_server.is_bare()
    )  # not where something else started the fork server, or it could not import that
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # One thread for each worker: they run side by side already.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # What this process holds must not reach a disk, by a core dump or a file.
    forbid_core_dumps()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    while True:
        try:
            fn, args, kwargs = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            if not bare:
                raise UsageError("the worker's environment has more than a worker may know")
            parts = fn(*args, **kwargs)
            if not isinstance(parts, tuple) or not all(isinstance(part, bytes) for part in parts):
                raise UsageError(f"{fn.__qualname__} must return a tuple of bytes")
        except Exception as error:
            text = f"{type(error).__name__}: {error}".encode()[:_MAX_ERROR_BYTES]
            pipe.send_bytes(_RAISED + text)
            continue
        pipe.send_bytes(_RETURNED + _COUNT.pack(len(parts)))
        for part in parts:
            pipe.send_bytes(part)
