"""The gateway's configuration: what gateway.toml may say."""

from typing import Annotated, Self

import pydantic

from pericard_edge.config import ConfiguredPath
from pericard_edge.settings import Address, MetricsSettings, TlsSettings
from pericard_protocol.schema import Section
from pericard_protocol.uplink.providers import KemSettings
from pericard_protocol.uplink.session import MAX_NAME_BYTES


class SerialSettings(Section):
    """A serial port."""

    path: ConfiguredPath
    baud: int = pydantic.Field(default=115200, ge=300, le=4_000_000)


class BleSettings(Section):
    """A device that speaks over BLE (the Nordic UART service)."""

    address: str = pydantic.Field(pattern=r"^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$")


class ServerSettings(Section):
    """The hospital's server, host:port; `name` is the DNS name in its certificate if not that host."""

    address: Address
    name: str | None = None


class SpoolSettings(Section):
    """How much sealed data may wait on disk; at the bound the gateway stops reading its devices."""

    max_mb: int = pydantic.Field(default=1024, ge=1)


class UpdateSettings(Section):
    """A firmware update to bring to the devices; `key` is the Ed25519 public key that signed it, PEM."""

    path: ConfiguredPath
    key: ConfiguredPath | None = None


class KmsLeaseSettings(Section):
    """The KMS that lends this gateway its device keys; the token comes in PERICARD_KMS_TOKEN.

    With it the private files of this configuration are sealed by the KMS, under the transit key `files_key`.
    """

    address: str  # https://host:port
    ca: ConfiguredPath
    # The key that signs the KMS's audit log and its leases, in base64, as `pericard kms audit key` prints it.
    log_key: str = pydantic.Field(pattern=r"^[A-Za-z0-9+/]{43}=$")
    files_key: str
    devices: list[Annotated[int, pydantic.Field(ge=0, le=0xFFFFFFFF)]] = pydantic.Field(min_length=1)
    lease_hours: int = pydantic.Field(default=24, ge=1, le=168)
    # How soon a device that the KMS took out of the lease is no longer opened here.
    ask_seconds: int = pydantic.Field(default=60, ge=5, le=3600)
    lease_frames: int = pydantic.Field(default=2**24, ge=1, le=2**32)


class GatewaySettings(Section):
    """The whole file. Relative paths begin at its folder."""

    gateway_id: str = pydantic.Field(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME_BYTES - 1}}}$")
    state: ConfiguredPath
    devices: ConfiguredPath | None = None
    kms: KmsLeaseSettings | None = None
    identity: ConfiguredPath
    pinned: ConfiguredPath
    ports: list[SerialSettings] = pydantic.Field(default_factory=list)
    ble: list[BleSettings] = pydantic.Field(default_factory=list)
    server: ServerSettings
    tls: TlsSettings
    metrics: MetricsSettings = MetricsSettings()
    spool: SpoolSettings = SpoolSettings()
    updates: UpdateSettings | None = None
    kem: KemSettings = KemSettings()

    @pydantic.model_validator(mode="after")
    def _one_custody(self) -> Self:
        if (self.devices is None) == (self.kms is None):
            raise ValueError("give either `devices`, a registry file, or [kms]")
        return self

    @pydantic.model_validator(mode="after")
    def _something_to_read(self) -> Self:
        if not self.ports and not self.ble:
            raise ValueError("give at least one [[ports]] or [[ble]]: there is nothing to read")
        return self
