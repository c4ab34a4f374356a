"""The portal's files: keys, queries and results, under the ids of their rows in folders that only we read.

No name from outside becomes a path: an id is checked to be one of ours first.
"""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from django.utils.translation import gettext as _

from pericard_cloud.portal.errors import CutOff, TooLarge
from pericard_cloud.portal.models import ID_LENGTH
from pericard_edge import files

_ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
_CHUNK = 64 << 10
KINDS = ("keys", "queries", "results", "partial")


class Store:
    """The files below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in (*KINDS, "uploads"):
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, kind: str, name: str) -> Path:
        """Where the file of the row with the id `name` is."""
        if kind not in KINDS or not _ID.fullmatch(name):
            raise ValueError(f"no id of ours, or no kind of file: {kind}")
        return self._folder / kind / name

    def read(self, kind: str, name: str) -> bytes:
        """All of a file.

        Raises:
            OSError: it is not there.
        """
        return self.path(kind, name).read_bytes()

    def write(self, kind: str, name: str, content: bytes) -> None:
        """Replaces a file in one step."""
        files.write(self.path(kind, name), content)

    def delete(self, kind: str, name: str) -> None:
        """Deletes a file, if it is there."""
        self.path(kind, name).unlink(missing_ok=True)

    def delete_job(self, name: str) -> None:
        """Deletes all files of a job."""
        for kind in ("queries", "results", "partial"):
            self.delete(kind, name)

    def shorten(self, kind: str, name: str, size: int) -> None:
        """Keeps the first `size` bytes of a file, if it is there."""
        path = self.path(kind, name)
        if path.exists() and path.stat().st_size > size:
            os.truncate(path, size)

    def append(self, name: str, at: int, content: bytes) -> int:
        """Puts `content` at `at` of a job's partial result, in place of what follows; gives the end."""
        descriptor = os.open(self.path("partial", name), os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.seek(at)
            file.write(content)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    @contextmanager
    def receive(
        self, source: BinaryIO | Callable[[int], bytes], length: int, most: int
    ) -> Iterator["Upload"]:
        """An upload on the disk while the block runs; `Upload.keep` makes it stay.

        Raises:
            TooLarge: it has over `most` bytes; where it says so, nothing is read.
            CutOff: it ends before `length`.
        """
        if length > most:
            raise TooLarge(
                _("The upload has %(length)d bytes; the largest that is taken here has %(most)d.")
                % {"length": length, "most": most}
            )
        path = self._folder / "uploads" / secrets.token_hex(16)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _copy(source if callable(source) else source.read, file, length)
                file.flush()
                os.fsync(file.fileno())
            yield Upload(self, path)
        finally:
            path.unlink(missing_ok=True)

    def sweep_uploads(self) -> None:
        """Deletes what uploads that a crash cut off left behind; called before any is taken."""
        for path in (self._folder / "uploads").iterdir():
            path.unlink(missing_ok=True)


class Upload:
    """What arrived; gone with its block, unless it is kept."""

    def __init__(self, store: Store, path: Path) -> None:
        self._store, self._path = store, path
        self.size = path.stat().st_size

    def read(self) -> bytes:
        """Its bytes."""
        return self._path.read_bytes()

    def keep(self, kind: str, name: str) -> None:
        """Makes it the file of the row with the id `name`."""
        self._path.rename(self._store.path(kind, name))


def _copy(read: Callable[[int], bytes], file: BinaryIO, length: int) -> None:
    """Copies exactly `length` bytes: never more, whatever comes."""
    left = length
    while left:
        chunk = read(min(_CHUNK, left))
        if not chunk:
            raise CutOff(_("The upload ended before its length."))
        if len(chunk) > left:
            raise TooLarge(_("The upload is longer than it said."))
        file.write(chunk)
        left -= len(chunk)
