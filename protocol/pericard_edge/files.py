"""Reads and writes a process's files.

A secret is read only from a file that nobody else may read. A file is written as a whole or not at all.
"""

import os
import stat
from pathlib import Path

from pericard_protocol.errors import UsageError

MAX_FILE_BYTES = 16 << 20  # a registry of 65,536 devices has 8 MB; anything larger is a mistake


class FileError(UsageError):
    """A file cannot be read, is not what it should be, or is open to others."""


def read(path: Path, what: str) -> bytes:
    """The bytes of a public file.

    Raises:
        FileError: it cannot be read, or is larger than any of our files.
    """
    return _read(path, what, secret=False)


def read_secret(path: Path, what: str) -> bytes:
    """The bytes of a file that only its owner may read.

    Raises:
        FileError: as `read`, or group or others may read it.
    """
    return _read(path, what, secret=True)


def read_secret_text(path: Path, what: str) -> str:
    """The text of a private file, such as a token or a passphrase, without the space around it.

    Raises:
        FileError: as `read_secret`, or it is not UTF-8.
    """
    try:
        return read_secret(path, what).decode().strip()
    except UnicodeDecodeError:
        raise FileError(f"{what} {path} is not UTF-8 text") from None


def _read(path: Path, what: str, *, secret: bool) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if secret and stat.S_IMODE(status.st_mode) & 0o077:
                raise FileError(f"{what} {path} can be read by others: chmod 600 it, and replace its keys")
            if status.st_size > MAX_FILE_BYTES:
                raise FileError(f"{what} {path} has over {MAX_FILE_BYTES} bytes: this is not the right file")
            return file.read()
    except OSError as error:
        raise FileError(f"{what} {path} cannot be read: {error.strerror}") from None


def write(path: Path, content: bytes) -> None:
    """Replaces `path` (mode 0600) in one step: a reader sees the old bytes or the new, even after a crash."""
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
