"""Signs firmware updates, and sends them over a cable; over the air it is the gateway that brings them."""

import termios
import time
from collections.abc import Callable
from pathlib import Path

import serial
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from pericard_tools.board.flash import BOOT_PATH, firmware_files
from pericard_tools.errors import BadArgument, BoardError

# A node looks for bytes every 5 ms and its buffers hold 256 of them; it may be busy with its flash meanwhile.
_PIECE_BYTES = 128
_PIECE_SECONDS = 0.012


def load_key(path: Path) -> Ed25519PrivateKey:
    """The signing key in a PEM file.

    Raises:
        BadArgument: the file is not one, or holds another kind of key.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadArgument(f"{path} holds no Ed25519 key: openssl genpkey -algorithm ed25519 -out {path}")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """The key that an update's signature is checked by, in a PEM file; a signing key's file holds it too.

    Raises:
        BadArgument: the file is neither, or holds another kind of key.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        return load_key(path).public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise BadArgument(f"{path} holds no Ed25519 key: openssl pkey -in SIGNING.pem -pubout -out {path}")
    return key


def update_files() -> dict[str, bytes]:
    """The firmware that an update brings: all but boot.py, which takes bad updates back (docs/adr/0010)."""
    files = firmware_files()
    del files[BOOT_PATH]
    return files


def send(port: str, stream: bytes, progress: Callable[[int], None] = lambda done: None) -> None:
    """Writes an update to a serial port at the pace at which a node takes it.

    How far the node has come it says in sealed status frames, which only the gateway opens. Whoever has no
    device key hears nothing, and can only be slow.

    Args:
        port: a serial port on which a node runs.
        stream: the update, signed.
        progress: is told how many bytes more were written.

    Raises:
        BadArgument: the port cannot be opened.
        BoardError: the board went away while the update was written.
    """
    try:
        line = serial.Serial(port, timeout=0, exclusive=True)
    except (OSError, serial.SerialException):
        raise BadArgument(f"{port} cannot be opened: is another program on it?") from None
    with line:
        for at in range(0, len(stream), _PIECE_BYTES):
            try:
                line.write(stream[at : at + _PIECE_BYTES])
                line.flush()
            except (
                OSError,
                serial.SerialException,
                termios.error,
            ):  # the last is no OSError; flush raises it
                raise BoardError(f"{port}: the board went away at byte {at}: send it again") from None
            time.sleep(_PIECE_SECONDS)
            progress(min(_PIECE_BYTES, len(stream) - at))
