"""The gateway's secrets in private files of its own, mode 0600."""

import asyncio
from pathlib import Path

from pericard_edge import files
from pericard_gateway.custody import KeyIds, Marks
from pericard_gateway.devices.registry import Registry, parse_registry


class FolderCustody:
    """Private files, mode 0600; the device keys in one of them."""

    def __init__(self, devices: Path) -> None:
        self._devices = devices

    def read_secret(self, path: Path, what: str) -> bytes:
        """The file as it is."""
        return files.read_secret(path, what)

    def registry(self) -> Registry:
        """From the device registry."""
        return parse_registry(files.read_secret(self._devices, "device registry"))

    async def keep(self, registry: Registry, marks: Marks, needed: KeyIds) -> None:
        """Nothing ends by itself."""
        await asyncio.Event().wait()
