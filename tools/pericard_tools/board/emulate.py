"""Virtual boards by name, many at once: each name has a directory that is its flash."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pericard_tools.board.recording import (
    FLASH_PATH,
    WAVEFORM_FLASH_PATH,
    read_intervals,
    recording_file,
    shipped_intervals,
    shipped_waveform,
    waveform_file,
)
from pericard_tools.board.virtual import VirtualBoard
from pericard_tools.errors import BadArgument


def hearts(
    names: Sequence[str],
    *,
    recording: bool = False,
    waveform: bool = False,
    replays: Mapping[str, Path],
    speeds: Mapping[str, float],
) -> dict[str, dict[str, bytes]]:
    """What each board's flash is to hold of a heart: name → absolute path on the board → content.

    Args:
        names: one board each.
        recording: the shipped intervals, for each board from another place on, so that no two beat alike.
        waveform: the shipped ECG's samples.
        replays: a board's own file of intervals (see `read_intervals`), instead of the shipped ones.
        speeds: how many seconds pass in one second, by name; 1 for the boards that it does not name.

    Raises:
        BadArgument: two names are the same, or a file or a speed cannot be used.
    """
    if len(set(names)) != len(names):
        raise BadArgument("boards need names that differ")
    intervals = shipped_intervals() if recording else []
    samples, rate = shipped_waveform() if waveform else ([], 0)
    flashes: dict[str, dict[str, bytes]] = {}
    for number, name in enumerate(names):
        files = flashes[name] = {}
        speed = speeds.get(name, 1.0)
        if name in replays:
            files[FLASH_PATH] = recording_file(read_intervals(replays[name]), speed)
        elif recording:
            start = number * len(intervals) // len(names)
            files[FLASH_PATH] = recording_file(intervals[start:] + intervals[:start], speed)
        if waveform:
            files[WAVEFORM_FLASH_PATH] = waveform_file(samples, rate, speed)
    return flashes


@contextmanager
def boards(directory: Path, flashes: Mapping[str, Mapping[str, bytes]]) -> Iterator[dict[str, VirtualBoard]]:
    """Running boards by name, each with `directory`/NAME as its flash (made if it is not there).

    Args:
        directory: holds the boards' flashes.
        flashes: name (a single path component that does not begin with a dot) → what to put into that flash
            first: absolute path on the board → content.

    Raises:
        BadArgument: a name is none, or its directory cannot be made and written.
    """
    for name in flashes:
        if not name or Path(name).name != name or name.startswith("."):
            raise BadArgument(f"{name!r} is no name of a board: it has no '/' and no '.' at its start")
    with ExitStack() as stack:
        running = {}
        for name, files in flashes.items():
            flash = directory / name
            try:
                flash.mkdir(parents=True, exist_ok=True)
                for path, content in files.items():
                    (flash / path.lstrip("/")).write_bytes(content)
            except OSError as error:
                raise BadArgument(f"{error.filename} cannot be written: {error.strerror}") from None
            running[name] = stack.enter_context(VirtualBoard(flash))
        yield running
