"""A board's raw REPL through mpremote's own transport, the same for real and virtual boards."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import serial
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from pericard_tools.errors import BadArgument, BoardError

# A board that prints nothing for so long runs no MicroPython, or its REPL is on another port.
_SILENCE_SECONDS = 5.0
# For about a second after a reset a chip loses what is typed: so it is typed again.
_ATTEMPTS = 3
_ATTEMPT_SECONDS = 4
_RESET_SECONDS = 0.1
_STOP = b"\r\x03"
_TO_RAW_REPL = b"\r\x01"
_RAW_REPL = b"raw REPL; CTRL-B to exit\r\n>"


@contextmanager
def raw_repl(port: str) -> Iterator[SerialTransport]:
    """The board on `port`, interrupted and freshly soft-reset, so that main.py does not run meanwhile.

    Raises:
        BadArgument: the port cannot be opened, or another program has it.
        BoardError: no MicroPython answered, or a command failed there.
    """
    try:
        transport = SerialTransport(port, timeout=_SILENCE_SECONDS)
    except (TransportError, OSError, serial.SerialException):
        raise BadArgument(
            f"{port} cannot be opened: is the board there, and no other program on it?"
        ) from None
    try:
        _interrupt(transport)
        yield transport
    except TransportExecError as error:
        # Only the last line of the board's traceback is told: it names the fault. The code that was sent, in
        # which a key may be, is not in it.
        fault = error.error_output.strip().rpartition("\n")[2]
        raise BoardError(f"{port}: the board reports {fault}") from None
    except (TransportError, serial.SerialException):
        raise BoardError(f"{port}: MicroPython does not answer; see hardware.md, 'Flashing'") from None
    except OSError as error:  # how mpremote tells an error of the board's file system
        raise BoardError(f"{port}: the board reports OSError: {error.strerror}") from None
    finally:
        transport.close()


def _interrupt(transport: SerialTransport) -> None:
    """Stops what runs before mpremote connects, which prints to stdout whatever it does not understand."""
    for _ in range(_ATTEMPTS):
        transport.serial.write(_STOP + _TO_RAW_REPL)
        heard = transport.read_until(1, _RAW_REPL, timeout_overall=_ATTEMPT_SECONDS)
        if heard.endswith(_RAW_REPL):
            transport.enter_raw_repl(timeout_overall=_ATTEMPT_SECONDS)
            return
    raise TransportError("no REPL")


def hard_reset(transport: SerialTransport) -> None:
    """Starts the board again as after power-on; the connection is of no use afterwards."""
    transport.exec_raw_no_follow("import machine\nmachine.reset()")
    time.sleep(_RESET_SECONDS)  # nothing that a board sends tells that it has begun to reset
