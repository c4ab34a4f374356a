"""Virtual boards by name, many at once: each name has a directory that is its flash."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pericard_tools.board import VirtualBoard
from pericard_tools.errors import NoSuchBoard
from pericard_tools.recording import FLASH_PATH, recording_file, shipped_intervals


@contextmanager
def boards(
    directory: Path, names: Sequence[str], *, recording: bool = False, speed: float = 1.0
) -> Iterator[dict[str, VirtualBoard]]:
    """Running boards by name, each with `directory`/NAME as its flash (made if it is not there).

    Args:
        directory: holds the boards' flashes.
        names: one board each; a name is a single path component.
        recording: puts the shipped recording into each flash first, replayed at `speed`. Each board starts
            at another place of it, so that no two hearts beat alike.
        speed: how many seconds of the recording pass in one second.
    """
    if len(set(names)) != len(names) or any(Path(name).name != name for name in names):
        raise NoSuchBoard("boards need names that differ and hold no '/'")
    with ExitStack() as stack:
        running = {}
        for number, name in enumerate(names):
            flash = directory / name
            flash.mkdir(parents=True, exist_ok=True)
            if recording:
                intervals = shipped_intervals()
                start = number * len(intervals) // len(names)
                rotated = intervals[start:] + intervals[:start]
                (flash / FLASH_PATH.lstrip("/")).write_bytes(recording_file(rotated, speed))
            running[name] = stack.enter_context(VirtualBoard(flash))
        yield running
