"""The cloud's configuration: what `pericard cloud run` and `pericard cloud portal` read with `--config FILE`.

One file may serve both, or each has its own: a command asks for the tables that it needs.
"""

from pathlib import Path

from pydantic import Field

from pericard_cloud.portal.config import PortalSettings
from pericard_edge.config import load_settings
from pericard_edge.confined import Limits
from pericard_edge.settings import ListenSettings, MetricsSettings, TlsSettings
from pericard_protocol.schema import Section


class ClientSettings(Section):
    """Who may call: the names in their certificates."""

    allowed: list[str] = Field(min_length=1)


class LimitSettings(Section):
    """What clients may make us spend."""

    workers: int = Field(default=2, ge=1, le=256)
    worker_memory_mb: int = Field(default=1024, ge=256)
    worker_seconds: float = Field(default=60.0, gt=0)
    calls_at_once: int = Field(default=8, ge=1)  # of all clients; each holds up to some 30 MB
    call_seconds: float = Field(default=600.0, gt=0)  # the furthest deadline that a client may set
    keys_per_client: int = Field(default=4, ge=1)  # 0.8 MB each; the one unused for longest goes first


class CloudSettings(Section):
    """The file of `pericard cloud run`. Relative paths begin at its folder."""

    listen: ListenSettings  # where hospitals connect
    tls: TlsSettings
    clients: ClientSettings
    limits: LimitSettings = LimitSettings()
    metrics: MetricsSettings | None = None
    portal: PortalSettings | None = None

    @property
    def worker_limits(self) -> Limits:
        """The bounds of one worker process."""
        return Limits(memory_bytes=self.limits.worker_memory_mb << 20, seconds=self.limits.worker_seconds)


class PortalFileSettings(Section):
    """The file of `pericard cloud portal`, which needs nothing of the other tables."""

    portal: PortalSettings
    listen: ListenSettings | None = None
    tls: TlsSettings | None = None
    clients: ClientSettings | None = None
    limits: LimitSettings = LimitSettings()
    metrics: MetricsSettings | None = None


def load_portal(path: Path) -> PortalSettings:
    """The table [portal] of the file at `path`.

    Raises:
        FileError: it cannot be read.
        ConfigError: it is wrong; every fault with its line.
    """
    return load_settings(path, PortalFileSettings).portal
