"""Puts the firmware on boards: the files of firmware/, over the REPL, only those that differ."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from mpremote.transport_serial import SerialTransport

from pericard_tools.board_repl import hard_reset, raw_repl
from pericard_tools.errors import NoSuchBoard

# In a checkout the firmware lies beside the tools; a built wheel carries it inside.
_PLACES = (Path(__file__).parents[2] / "firmware", Path(__file__).parent / "firmware")
# Stand-ins for CPython; a board has viper itself.
_NOT_FOR_BOARDS = {"plain.py"}
_CHUNK = 512


def firmware_files() -> dict[str, bytes]:
    """The firmware: path on the board → content.

    Raises:
        NoSuchBoard: the firmware is not beside or inside this distribution.
    """
    root = next((place for place in _PLACES if (place / "main.py").is_file()), None)
    if root is None:
        raise NoSuchBoard("the firmware's files are missing: reinstall pericard-tools")
    paths = [root / "boot.py", root / "main.py", *sorted((root / "pericard_node").glob("*.py"))]
    return {
        f"/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in paths
        if path.name not in _NOT_FOR_BOARDS
    }


def flash(port: str, files: dict[str, bytes], progress: Callable[[int], None] = lambda done: None) -> int:
    """Writes to the board on `port` what it does not have yet, and resets it.

    Args:
        port: a serial port, real or a virtual board's.
        files: absolute path on the board → content.
        progress: is told how many bytes more are done.

    Returns:
        The number of files written.

    Raises:
        NoSuchBoard, BoardError: see `raw_repl`.
    """
    written = 0
    with raw_repl(port) as board:
        for folder in sorted(_folders(files)):
            if not board.fs_exists(folder):
                board.fs_mkdir(folder)
        for path, content in files.items():
            if _differs(board, path, content):
                write_file(board, path, content, progress)
                written += 1
            else:
                progress(len(content))
        hard_reset(board)
    return written


def write_file(
    board: SerialTransport, path: str, content: bytes, progress: Callable[[int], None] = lambda done: None
) -> None:
    """Replaces a file on the board; a power cut leaves the old one or the new one."""
    said = 0

    def count(done: int, _: int) -> None:
        nonlocal said
        progress(done - said)
        said = done

    board.fs_writefile(f"{path}.new", content, chunk_size=_CHUNK, progress_callback=count)
    board.exec(f"import os\nos.rename({path + '.new'!r}, {path!r})")


def _differs(board: SerialTransport, path: str, content: bytes) -> bool:
    return not board.fs_exists(path) or board.fs_hashfile(path, "sha256") != hashlib.sha256(content).digest()


def _folders(files: dict[str, bytes]) -> Iterator[str]:
    for path in files:
        yield from {str(folder) for folder in PurePosixPath(path).parents if str(folder) != "/"}
