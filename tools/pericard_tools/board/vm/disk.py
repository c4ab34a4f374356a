"""The virtual board's flash: a directory of the host as a MicroPython file system, and nothing outside it.

When the power fails it keeps what LittleFS, a chip's file system, promises and no more. A rename has happened
or has not. What was neither flushed nor closed is gone. What was being flushed may be there by half, which is
worse than LittleFS.
"""

import io

from vfs import VfsPosix

_TYPE = 0xF000  # the bits of st_mode that say what an entry is
# A file with more unflushed bytes is flushed, as a chip has no memory for them.
_CACHE_BYTES = 32768
_SIZE = 6  # where st_size stands in what stat returns


class Flash:
    """The file system protocol of MicroPython's vfs.mount, over `directory`."""

    def __init__(self, directory, cut, instants):
        """Calls `cut`, which does not return, at the `instants`th change; never where that is 0."""
        self._cut = cut
        self._instants = instants
        self._directory = directory
        self._host = VfsPosix()
        self._current = "/"

    def _at(self, path):
        """The host's path of `path`. A '..' stops at the root, as on a board."""
        parts = []
        for part in (path if path.startswith("/") else self._current + "/" + path).split("/"):
            if part == "..":
                if parts:
                    parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        return "/".join([self._directory] + parts)

    def change(self, file=None, data=()):
        """Counts a change before it is made; where the power is to fail then, writes half of `data` first."""
        self._instants -= 1
        if self._instants == 0:
            half = sum(len(piece) for piece in data) // 2
            for piece in data:
                file.write(piece[: max(0, half)])
                half -= len(piece)
            self._cut()

    def mount(self, readonly, mkfs):
        """Nothing to do: the directory is there."""

    def umount(self):
        """Nothing to do."""

    def open(self, path, mode):
        """A file."""
        if "r" in mode and "+" not in mode:
            return self._host.open(self._at(path), mode)
        self.change()
        return _Written(self, self._host.open(self._at(path), mode if "b" in mode else mode + "b"))

    def stat(self, path):
        """As os.stat."""
        return self._host.stat(self._at(path))

    def statvfs(self, path):
        """As os.statvfs."""
        return self._host.statvfs(self._directory)

    def ilistdir(self, path):
        """As os.ilistdir, sizes included."""
        for name, *_ in self._host.ilistdir(self._at(path)):
            found = self.stat((path or ".") + "/" + name)
            yield name, found[0] & _TYPE, 0, found[_SIZE]

    def chdir(self, path):
        """As os.chdir."""
        if not self.stat(path)[0] & 0x4000:
            raise OSError(20)  # ENOTDIR
        self._current = self._at(path)[len(self._directory) :] or "/"

    def getcwd(self):
        """As os.getcwd."""
        return self._current

    def mkdir(self, path):
        """As os.mkdir."""
        self.change()
        self._host.mkdir(self._at(path))

    def rmdir(self, path):
        """As os.rmdir."""
        self.change()
        self._host.rmdir(self._at(path))

    def remove(self, path):
        """As os.remove."""
        self.change()
        self._host.remove(self._at(path))

    def rename(self, old, new):
        """As os.rename."""
        self.change()
        self._host.rename(self._at(old), self._at(new))


class _Written(io.IOBase):
    """A file open for writing: a change of the flash each time that it is made durable."""

    def __init__(self, flash, file):
        self._flash = flash
        self._file = file
        self._pending = []  # pieces: a chip has no room for the whole of a file in one place either
        self._size = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def write(self, data):
        """Takes bytes, or text as UTF-8."""
        self._pending.append(data.encode() if isinstance(data, str) else bytes(data))
        self._size += len(data)
        if self._size > _CACHE_BYTES:
            self.flush()
        return len(data)

    def flush(self):
        """Makes what was written durable."""
        if self._pending:
            self._flash.change(self._file, self._pending)
            for piece in self._pending:
                self._file.write(piece)
            self._pending = []
            self._size = 0

    def seek(self, *where):
        """As a file's."""
        self.flush()
        return self._file.seek(*where)

    def tell(self):
        """As a file's."""
        self.flush()
        return self._file.tell()

    def read(self, *n):
        """As a file's, where it is open for both."""
        self.flush()
        return self._file.read(*n)

    def close(self):
        """Makes what was written durable; nothing more can be."""
        self.flush()
        self._file.close()
