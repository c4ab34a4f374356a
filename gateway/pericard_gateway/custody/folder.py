"""The gateway's secrets in private files of its own, mode 0600."""

import asyncio
from pathlib import Path

from pericard_edge import files
from pericard_gateway.custody import Committed
from pericard_gateway.devices.registry import Registry, parse_registry


class FolderCustody:
    """Reads each private file as it is; the device keys stand in one of them."""

    def __init__(self, devices: Path) -> None:
        self._devices = devices

    def read_secret(self, path: Path, what: str) -> bytes:
        """The file as it is."""
        return files.read_secret(path, what)

    def close(self) -> None:
        """Nothing is open."""

    def check(self) -> None:
        """Reads the registry file. Raises as `registry`."""
        self.registry()

    def registry(self) -> Registry:
        """The devices of the registry file.

        Raises:
            FileError, RegistryError: it cannot be read, or is malformed.
        """
        return parse_registry(files.read_secret(self._devices, "device registry"))

    async def keep(self, registry: Registry, committed: Committed) -> None:
        """Does nothing, until cancelled: keys in a file have no end."""
        await asyncio.Event().wait()
