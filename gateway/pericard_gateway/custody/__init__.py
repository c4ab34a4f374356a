"""Where the gateway's secrets come from: private files of its own (folder.py), or the KMS (kms.py)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pericard_gateway.config import GatewaySettings
from pericard_gateway.devices.registry import Registry
from pericard_gateway.devices.window import Mark
from pericard_gateway.errors import RegistryError
from pericard_gateway.operations.counts import GatewayCounts


class Committed(Protocol):
    """What this gateway has on its disk, as far as a custody must know it."""

    async def marks(self) -> Mapping[int, Mark]:
        """How far each device has come."""

    async def key_ids(self) -> frozenset[str]:
        """The hospital's KEM keys that are still needed here."""


class Custody(Protocol):
    """Gives the process its secrets."""

    def read_secret(self, path: Path, what: str) -> bytes:
        """The content of a private file of the configuration; errors call it `what`."""

    def close(self) -> None:
        """Ends what it has open; the next call opens it again."""

    def check(self) -> None:
        """Raises where `registry` would; borrows nothing and changes nothing."""

    def registry(self) -> Registry:
        """The devices that this gateway may open."""

    async def keep(self, registry: Registry, committed: Committed) -> None:
        """Runs beside the gateway until cancelled; keeps the registry's keys to what may be held."""


def custody_of(settings: GatewaySettings, counts: GatewayCounts) -> Custody:
    """The custody that the configuration names."""
    # Imported here: both modules import this one, and a gateway without a KMS needs no client of it.
    if settings.kms is not None:
        from pericard_gateway.custody.kms import KmsCustody

        return KmsCustody(settings.gateway_id, settings.kms, counts, settings.state)
    from pericard_gateway.custody.folder import FolderCustody

    if settings.devices is None:  # the settings' own check makes sure that it is not
        raise RegistryError("give `devices`, or [kms]")
    return FolderCustody(settings.devices)
