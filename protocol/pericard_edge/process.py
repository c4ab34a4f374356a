"""How a process says that it is ready, is told to stop, and ends within a bound whatever hangs.

One order for every process: `stop_event` (or `stop_event_in_loop`) before anything is opened, then
`with ready(…)` around the wait for that event, then the process's own stop.
"""

import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, NoReturn

from pericard_edge import files
from pericard_edge.systemd import notify

if TYPE_CHECKING:
    import asyncio

# The longest time from the signal to the end. A process's own stop takes less; the unit files allow 15 s
# before SIGKILL.
STOP_SECONDS = 12.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger("pericard.process")


@contextmanager
def ready(path: Path | None, text: str) -> Iterator[None]:
    """While the block runs, the process is ready: systemd is told, and `text` stands in the file `path`.

    The file appears with its whole content, so that others may wait for it, and is deleted at the end.
    """
    if path is not None:
        files.write(path, text.encode())
    try:
        notify("READY=1")
        yield
        notify("STOPPING=1")
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def forbid_core_dumps() -> None:
    """Keeps the memory of this process and its children, with every key, off the disk when they crash."""
    # One byte, not none: under a limit of 0 the kernel still feeds a program that core_pattern names, such as
    # systemd-coredump or apport; under 1 it feeds no program, and no file holds a dump (fs/coredump.c).
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    most = hard if hard == 0 else 1  # a limit that an operator set is not raised
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def stop_event(seconds: float = STOP_SECONDS) -> threading.Event:
    """An event that SIGTERM or Ctrl-C sets; the process ends at most `seconds` later. For the main thread."""
    # A signal handler interrupts the main thread, which may hold the event's lock at that moment: to set the
    # event there could wait for ever. Putting into a SimpleQueue is always safe; another thread takes from
    # the queue and sets the event.
    asked: SimpleQueue[None] = SimpleQueue()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: asked.put(None))
    stop = threading.Event()

    def wait() -> None:
        asked.get()
        stop.set()
        _end_after(seconds)

    threading.Thread(target=wait, name="stop", daemon=True).start()
    return stop


def stop_event_in_loop(seconds: float = STOP_SECONDS) -> "asyncio.Event":
    """The same for a process whose main thread runs an asyncio loop; called from within the loop."""
    import asyncio  # here: every command line imports this module, and most have no loop

    stop = asyncio.Event()

    def told() -> None:
        if not stop.is_set():
            stop.set()
            _end_after(seconds)

    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, told)
    return stop


def end_now(code: int) -> NoReturn:
    """Ends the process without waiting for its threads or for what libraries do at the end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_after(seconds: float) -> None:
    """Ends the process after that time. One that ends by itself before ends this timer's thread too."""

    def end() -> None:
        _log.error("the stop took too long: what still runs is left behind")
        end_now(1)

    clock = threading.Timer(seconds, end)
    clock.daemon = True
    clock.start()
