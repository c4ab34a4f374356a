"""The virtual board: a directory is its flash, the MicroPython VM its processor, a pseudo-terminal its port.

There are two pseudo-terminals. The inner one is the VM's terminal, so that Ctrl-C interrupts it as on a
board; the outer one is the "USB port" that pyserial and mpremote open, and it outlives the VM. A thread
carries bytes between them and starts the VM again when it ends, as a board does after a reset. In one thing
it is no real board: where nobody reads the port, the VM waits in its write, and a real board loses the bytes.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import micropython_run

from pericard_tools.errors import BadArgument, BoardError

# A 64-bit VM needs about twice the heap of a board's 32-bit one; an ESP32 without PSRAM leaves some 110 KB.
_HEAP_BYTES = 256 * 1024
_CHUNK = 4096
_BOOTSTRAP = Path(__file__).parent / "vm" / "bootstrap.py"
# The VM is an extension module of the MicroPython wheel, run in a Python process of its own. Its terminal
# becomes the controlling one: then Ctrl-C interrupts it, and it ends with its terminal.
_VM = (
    "import fcntl, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "signal.pthread_sigmask(signal.SIG_SETMASK, ()); sys.path.insert(0, sys.argv[1]);"
    "import micropython_run; sys.exit(micropython_run.run_main(['micropython', *sys.argv[2:]]))"
)
_RAW_REPL = b"raw REPL; CTRL-B to exit\r\n"
_FRIENDLY_REPL = b'Type "help()" for more information.\r\n'
_PROMPT = b">>> "
_CTRL_A = b"\x01"
_CTRL_C = b"\x03"
_SECOND_LOOK_MS = 50
# How long what was typed after a Ctrl-C waits for a program that may not end by it.
_HELD_SECONDS = 0.5

# What machine.reset_cause says, as vm/chip.py names it.
_POWER_ON, _HARD_RESET, _WATCHDOG, _DEEP_SLEEP, _SOFT_RESET = 1, 2, 3, 4, 5


class VirtualBoard:
    """A board with `flash` as its file system. Use it as a context manager, or `start` and `stop` it.

    `port` is the path to open with pyserial; it stays the same through resets.
    """

    def __init__(self, flash: Path, *, radio: bool = False) -> None:
        if not flash.is_dir():
            raise BadArgument(f"{flash} is not a directory: make one to be the board's flash")
        self.flash = flash.resolve()
        #: Set while the board has no power.
        self.off = threading.Event()
        self._cut_at = 0
        self._cause = _POWER_ON
        self._watch_ms: int | None = None
        self._bites_at: float | None = None  # when the watchdog resets the board, by time.monotonic()
        self._wakes_at: float | None = None  # when deep sleep ends
        #: Told of every byte that leaves the board, when it does.
        self.tap: Callable[[bytes], None] | None = None
        self._outer, self._port = os.openpty()
        tty.setraw(self._port)
        self.port = os.ttyname(self._port)
        self._orders_start, self._orders_end = os.pipe()
        for end in (self._outer, self._orders_start):
            os.set_blocking(end, False)
        self._inner = self._control = -1
        self._vm: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        #: With `radio`, the far end of the board's `bluetooth`: lines of JSON (vm/bluetooth.py), and
        #: {"active": false} when the processor ends.
        self.radio: socket.socket | None = None
        self._antenna: socket.socket | None = None
        if radio:
            self.radio, self._antenna = socket.socketpair()
        self._tail = b""
        # Before MicroPython handles Ctrl-C, one would end the VM: until then what is typed waits.
        self._started = self._at_repl = self._raw = self._enter_raw = False
        self._held_until = 0.0
        self._to_port = self._to_vm = b""
        self._fault: Exception | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Gives the board power: boot.py, main.py, then the REPL."""
        self._thread = threading.Thread(target=self._run, name=f"board {self.flash.name}", daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """A hard reset at this very instant, wherever the VM is."""
        self._give_order(b"r")

    def kill(self) -> None:
        """Cuts the power: nothing of the VM runs on. The flash keeps what was written; `power_on` follows."""
        self._give_order(b"k")

    def power_on(self, cut_at: int = 0) -> None:
        """Gives power again after `kill`; where `cut_at` is not 0, until that change of the flash."""
        self._cut_at = cut_at
        self.off.clear()
        self._give_order(b"p")

    def stop(self) -> None:
        """Ends the VM and closes the port."""
        if self._thread is not None:
            self._give_order(b"q")
            self._thread.join()
            self._thread = None
        for end in (self._outer, self._port, self._orders_start, self._orders_end):
            os.close(end)
        for far in (self.radio, self._antenna):
            if far is not None:
                far.close()
        if self._fault is not None:
            raise BoardError(f"the virtual board {self.flash.name} failed: {self._fault}") from self._fault

    def _give_order(self, order: bytes) -> None:
        os.write(self._orders_end, order)

    def _run(self) -> None:
        try:
            self._power_on("main")
            while self._serve():
                pass
        except OSError as error:
            self._fault = error
        finally:
            self._power_off()

    def _power_on(self, mode: str) -> None:
        self._inner, terminal = os.openpty()
        tty.setraw(terminal)
        settings = termios.tcgetattr(terminal)
        settings[3] |= termios.ISIG  # Ctrl-C interrupts; all other bytes pass as they are
        settings[6][termios.VQUIT] = settings[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(terminal, termios.TCSANOW, settings)
        self._control, control = os.pipe()
        arguments = [
            "-X",
            f"heapsize={_HEAP_BYTES}",
            "-i",
            str(_BOOTSTRAP),
            str(self.flash),
            mode,
            str(control),
            str(self._cut_at),
            str(self._cause),
            str(self._antenna.fileno() if self._antenna else -1),
        ]
        self._cut_at = 0
        self._watch_ms = self._bites_at = None
        modules = str(Path(micropython_run.__file__).parent)
        try:
            self._vm = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                [sys.executable, "-S", "-E", "-c", _VM, modules, *arguments],
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                start_new_session=True,
                env={},
                umask=0o077,  # a board's key and a patient's readings are nobody else's to read
                pass_fds=(control, self._antenna.fileno()) if self._antenna else (control,),
            )
        finally:
            os.close(terminal)
            os.close(control)
        os.set_blocking(self._inner, False)
        self._started = self._at_repl = False
        self._tail = b""

    def _power_off(self) -> None:
        if self._vm is not None:
            self._vm.send_signal(signal.SIGKILL)
            self._vm.wait()
            self._vm = None
            os.close(self._inner)
            os.close(self._control)
            self._inner = self._control = -1
            self._to_vm = b""
            if self._antenna is not None:
                # Where nobody reads, the buffer is full of what the VM said: to wait would be for ever.
                with contextlib.suppress(BlockingIOError):
                    self._antenna.send(b'{"active": false}\n', socket.MSG_DONTWAIT)
        self._bites_at = self._wakes_at = None

    def _serve(self) -> bool:
        """Carries bytes until the VM ends or an order comes. False: the board is to stop."""
        poll = select.poll()
        poll.register(self._orders_start, select.POLLIN)
        if self._vm is not None:
            # Each way is read only when what came before has gone on, so that memory stays bounded.
            poll.register(self._control, select.POLLIN)
            poll.register(self._outer, select.POLLIN if self._started and not self._to_vm else 0)
            poll.register(self._inner, 0 if self._to_port else select.POLLIN)
        # A flush at the port's far end makes room without an event: then only another look finds it.
        ready = dict(poll.poll(self._poll_timeout_ms()))
        if self._orders_start in ready:
            return self._follow(os.read(self._orders_start, 1))
        if self._wakes_at is not None and time.monotonic() >= self._wakes_at:
            self._restart(_DEEP_SLEEP)
        elif self._bites_at is not None and time.monotonic() >= self._bites_at:
            self._restart(_WATCHDOG)
        if self._vm is None:
            self._to_port = _write_some(self._outer, self._to_port)
            return True
        if self._control in ready and self._carry_out(os.read(self._control, _CHUNK)):
            return True
        if ready.get(self._outer, 0) & select.POLLIN and not self._to_vm:
            self._to_vm = os.read(self._outer, _CHUNK)
        if self._inner in ready and not self._to_port:
            try:
                self._take_output(os.read(self._inner, _CHUNK))
            except OSError:  # EIO: the VM has closed its terminal, it has ended
                self._soft_reset()
                return True
        self._to_port = _write_some(self._outer, self._to_port)
        self._to_vm = self._type_in(self._to_vm)
        return True

    def _type_in(self, data: bytes) -> bytes:
        """Gives the VM what was typed; returns what has to wait.

        A real board keeps what follows a Ctrl-C until its REPL reads it. The unix port discards its input
        when its REPL starts: so what follows a Ctrl-C waits here for the first words of the REPL.
        """
        now = time.monotonic()
        if self._at_repl:
            return _write_some(self._inner, data)
        if (cut := data.rfind(_CTRL_C) + 1) > 0:
            self._held_until = now + _HELD_SECONDS
            return _write_some(self._inner, data[:cut]) + data[cut:]
        return data if now < self._held_until else _write_some(self._inner, data)

    def _poll_timeout_ms(self) -> float | None:
        times = [at for at in (self._wakes_at, self._bites_at) if at is not None]
        left = [max(0.0, (at - time.monotonic()) * 1000) for at in times]
        return min([*left, _SECOND_LOOK_MS] if self._to_port or self._to_vm else left, default=None)

    def _carry_out(self, lines: bytes) -> bool:
        """Does what the processor asks for (vm/chip.py); returns whether that ended the processor."""
        for line in lines.decode().splitlines():
            word, *numbers = line.split()
            if word in ("reset", "cut", "sleep"):
                self._take_output(_read_rest(self._inner))  # what it printed before it asked
                if word == "reset":
                    self._restart(_HARD_RESET)
                else:
                    self._power_off()
                    self._wakes_at = time.monotonic() + int(numbers[0]) / 1000 if numbers else None
                    if word == "cut":
                        self.off.set()
                return True
            if word == "ready":
                self._started = True
            elif word == "watch":
                self._watch_ms = int(numbers[0])
            if self._watch_ms is not None:
                self._bites_at = time.monotonic() + self._watch_ms / 1000
        return False

    def _restart(self, cause: int) -> None:
        self._power_off()
        self._raw = False
        self._cause = cause
        self._power_on("main")

    def _follow(self, order: bytes) -> bool:
        if order == b"q":
            return False
        if order == b"k":
            self._power_off()
            self.off.set()
        else:
            self._restart(_HARD_RESET if order == b"r" else _POWER_ON)
        return True

    def _soft_reset(self) -> None:
        """Starts the VM again, in the REPL that it was in, after it ended by itself (Ctrl-D)."""
        self._power_off()
        self._to_port += b"MPY: soft reboot\r\n"
        self._enter_raw = self._raw
        self._cause = _SOFT_RESET
        self._power_on("raw" if self._raw else "main")

    def _take_output(self, data: bytes) -> None:
        """Takes what the VM printed, for the port and for `tap`."""
        self._to_port += data
        self._track_repl(data)
        if self.tap is not None:
            self.tap(data)

    def _track_repl(self, data: bytes) -> None:
        """Notes from what the VM printed which REPL it is in; after a soft reset, re-enters the raw one."""
        seen = self._tail + data
        raw, friendly = seen.rfind(_RAW_REPL), seen.rfind(_FRIENDLY_REPL)
        self._at_repl = self._at_repl or friendly >= 0
        if raw != friendly:
            self._raw = raw > friendly
        if self._enter_raw and seen.endswith(_PROMPT):
            self._enter_raw = False
            self._to_vm = _CTRL_A + self._to_vm
        self._tail = seen[-len(_FRIENDLY_REPL) :]


def _read_rest(end: int) -> bytes:
    """What an ending VM has printed and nobody has read yet: at most the terminal's buffer."""
    try:
        return os.read(end, _CHUNK)
    except BlockingIOError:
        return b""


def _write_some(end: int, data: bytes) -> bytes:
    """Writes as much as `end` takes now; returns what is left."""
    try:
        return data[os.write(end, data) :] if data else b""
    except BlockingIOError:
        return data
    except OSError:  # the VM has ended: what was meant for it is lost
        return b""
