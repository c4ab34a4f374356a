"""The virtual board's flash: a directory of the host as a MicroPython file system, and nothing outside it."""

from vfs import VfsPosix

_TYPE = 0xF000  # the bits of st_mode that say what an entry is
_SIZE = 6  # where st_size stands in what stat returns


class Flash:
    """The file system protocol of MicroPython's vfs.mount, over `directory`."""

    def __init__(self, directory):
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

    def mount(self, readonly, mkfs):
        """Nothing to do: the directory is there."""

    def umount(self):
        """Nothing to do."""

    def open(self, path, mode):
        """A file."""
        return self._host.open(self._at(path), mode)

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
        self._host.mkdir(self._at(path))

    def rmdir(self, path):
        """As os.rmdir."""
        self._host.rmdir(self._at(path))

    def remove(self, path):
        """As os.remove."""
        self._host.remove(self._at(path))

    def rename(self, old, new):
        """As os.rename."""
        self._host.rename(self._at(old), self._at(new))
