"""The portal's configuration: the table [portal] of the cloud's TOML file."""

from pathlib import Path
from typing import Self

import pydantic

from pericard_edge.config import ConfiguredPath
from pericard_edge.confined import Limits
from pericard_edge.settings import Address, MetricsSettings, split_address
from pericard_protocol.schema import Section

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class CertificateSettings(Section):
    """PEM files: what the portal shows to browsers, and its key."""

    certificate: ConfiguredPath
    key: ConfiguredPath


class PortalLimitSettings(Section):
    """What users may make us spend."""

    workers: int = pydantic.Field(default=2, ge=1, le=256)
    worker_memory_mb: int = pydantic.Field(default=2048, ge=256)
    worker_seconds: float = pydantic.Field(default=120.0, gt=0)  # for the rows that it gets at once
    rows_at_once: int = pydantic.Field(default=8, ge=1, le=256)  # progress is told, and kept, so often
    rows_per_query: int = pydantic.Field(default=1000, ge=1, le=4096)
    query_mb: int = pydantic.Field(default=48, ge=1, le=512)
    waiting_jobs: int = pydantic.Field(default=5, ge=1)  # of one user, running ones too
    kept_jobs: int = pydantic.Field(default=200, ge=1)  # of one user, with their results
    keys: int = pydantic.Field(default=5, ge=1)  # of one user
    registrations: int = pydantic.Field(default=20, ge=1)  # an hour, from one address
    key_days: float = pydantic.Field(default=90.0, gt=0)
    result_days: float = pydantic.Field(default=7.0, gt=0)


class QuotaSettings(Section):
    """How many rows a user may have predicted a day (UTC) by each model: what slows down copying a model."""

    rows_per_day: int = pydantic.Field(default=200, ge=0)
    models: dict[str, int] = pydantic.Field(default_factory=dict)  # where a model has a number of its own

    def of(self, model: str) -> int:
        """The rows a day for this model."""
        return self.models.get(model, self.rows_per_day)


class PortalSettings(Section):
    """The table. Relative paths begin at the file's folder."""

    listen: Address = "127.0.0.1:8000"
    folder: ConfiguredPath = pydantic.Field(default=Path("portal"), validate_default=True)
    models: ConfiguredPath = pydantic.Field(default=Path("models"), validate_default=True)
    database: str = ""  # a URL; else a SQLite file in `folder`. DATABASE_URL of the environment goes first
    # By what names browsers may call it.
    hosts: list[str] = pydantic.Field(default_factory=lambda: ["localhost", "127.0.0.1", "[::1]"])
    proxies: int = pydantic.Field(default=0, ge=0)  # how many stand before it, which end TLS
    threads: int = pydantic.Field(default=16, ge=1, le=256)  # requests at once
    tls: CertificateSettings | None = None
    limits: PortalLimitSettings = PortalLimitSettings()
    quota: QuotaSettings = QuotaSettings()
    metrics: MetricsSettings | None = None

    @pydantic.model_validator(mode="after")
    def _passwords_travel_under_tls(self) -> Self:
        host, _ = split_address(self.listen)
        if self.tls is None and not self.proxies and host not in _LOOPBACK:
            raise ValueError("give [portal.tls], or say in `proxies` how many proxies end TLS before it")
        return self

    @property
    def encrypted(self) -> bool:
        """Whether browsers reach it by https."""
        return self.tls is not None or self.proxies > 0

    @property
    def worker_limits(self) -> Limits:
        """The bounds of one worker process."""
        return Limits(memory_bytes=self.limits.worker_memory_mb << 20, seconds=self.limits.worker_seconds)
