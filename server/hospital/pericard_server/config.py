"""The server's configuration: what `pericard server --config FILE` reads."""

from pathlib import Path
from typing import Annotated, Self

import pydantic

from pericard_edge.config import ConfiguredPath
from pericard_edge.settings import Address, ListenSettings, MetricsSettings, TlsSettings
from pericard_protocol.schema import Section
from pericard_protocol.uplink.providers import KemSettings
from pericard_server.records.suites import DEFAULT_SUITE, SUITES


def _known_suite(name: str) -> str:
    if name not in SUITES:
        raise ValueError(f"one of: {', '.join(SUITES)}")
    return name


class RecordsSettings(Section):
    """Where and how readings are stored."""

    database: str = "sqlite:///records.db"
    suite: Annotated[str, pydantic.AfterValidator(_known_suite)] = DEFAULT_SUITE.name


class KeyFolderSettings(Section):
    """The folder of the hospital's long-lived keys."""

    folder: ConfiguredPath = pydantic.Field(default=Path("keys"), validate_default=True)


class KmsSettings(Section):
    """The KMS that keeps the hospital's keys; the token comes in the environment variable PERICARD_KMS_TOKEN.

    With it every private file of this configuration is sealed by the KMS, under the transit key `files_key`.
    """

    address: str  # https://host:port
    ca: ConfiguredPath
    files_key: str = "hospital-files"


class CloudLinkSettings(Section):
    """The untrusted cloud, host:port; `name` is the DNS name in its certificate if not that host."""

    address: Address
    name: str | None = None


class EnrolmentSettings(Section):
    """Where gateways redeem invitations, and the key of `[tls] ca` that certifies them."""

    address: Address = "127.0.0.1:8445"
    authority_key: ConfiguredPath


class HospitalSettings(Section):
    """The whole file. Relative paths begin at its folder."""

    tls: TlsSettings
    listen: ListenSettings = ListenSettings(address="127.0.0.1:8443")  # where gateways connect
    records: RecordsSettings = pydantic.Field(default_factory=RecordsSettings)
    keys: KeyFolderSettings | None = None
    kms: KmsSettings | None = None
    cloud: CloudLinkSettings | None = None
    enrolment: EnrolmentSettings | None = None
    kem: KemSettings | None = None
    metrics: MetricsSettings | None = None

    @pydantic.model_validator(mode="after")
    def _one_keeper(self) -> Self:
        if (self.keys is None) == (self.kms is None):
            raise ValueError("give either [kms], or [keys] for a folder of key files")
        return self

    @pydantic.model_validator(mode="after")
    def _whoever_has_the_keys_computes(self) -> Self:
        if self.kms is not None and self.kem is not None:
            raise ValueError(
                "[kem] goes with [keys]: with [kms] the KMS computes, and chooses by `pericard kms run --kem`"
            )
        return self


def database_url(config: HospitalSettings, base: Path) -> str:
    """The database URL with a relative SQLite path made absolute."""
    url = config.records.database
    if not url.startswith("sqlite:///"):
        return url
    return f"sqlite://{(base / url.removeprefix('sqlite:///')).resolve()}"
