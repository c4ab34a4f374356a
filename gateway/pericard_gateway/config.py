"""gateway.toml: what it may say, and its paths, which are relative to the file's own folder."""

from pathlib import Path
from typing import Annotated, Self

import pydantic

from pericard_edge import files
from pericard_edge.config import parse
from pericard_protocol.schema import Section
from pericard_protocol.uplink.providers import Kem
from pericard_protocol.uplink.session import MAX_NAME_BYTES


def _to_path(value: object) -> object:
    return Path(value) if isinstance(value, str) and value else value


_Path = Annotated[Path, pydantic.BeforeValidator(_to_path)]
_Address = Annotated[str, pydantic.Field(pattern=r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$")]
# The status page names devices and counts: for this machine's own eyes, so no other address is accepted.
_Loopback = Annotated[str, pydantic.Field(pattern=r"^(127\.0\.0\.1|localhost):[0-9]{1,5}$")]


class Serial(Section):
    """A serial port."""

    path: _Path
    baud: int = pydantic.Field(default=115200, ge=300, le=4_000_000)


class Ble(Section):
    """A device that speaks over BLE (the Nordic UART service)."""

    address: str = pydantic.Field(pattern=r"^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$")


class Server(Section):
    """The hospital's server, host:port; `name` is the DNS name in its certificate if not that host."""

    address: _Address
    name: str | None = None


class Tls(Section):
    """PEM files of the mutual TLS."""

    certificate: _Path
    key: _Path
    ca: _Path


class Metrics(Section):
    """Where /metrics, /healthz and /status are served; port 0 takes a free one."""

    listen: _Loopback = "127.0.0.1:0"


class SpoolBound(Section):
    """How much sealed data may wait on disk; at the bound the gateway stops reading its devices."""

    max_mb: int = pydantic.Field(default=1024, ge=1)


class Updates(Section):
    """A firmware update to bring to the devices; `key` is the Ed25519 public key that signed it, PEM."""

    path: _Path
    key: _Path | None = None


class Kms(Section):
    """The KMS that lends this gateway its device keys; the token comes in PERICARD_KMS_TOKEN.

    With it the private files of this configuration are sealed by the KMS, under the transit key `files_key`.
    """

    address: str  # https://host:port
    ca: _Path
    files_key: str
    devices: list[Annotated[int, pydantic.Field(ge=0, le=0xFFFFFFFF)]] = pydantic.Field(min_length=1)
    lease_hours: int = pydantic.Field(default=24, ge=1, le=168)
    lease_frames: int = pydantic.Field(default=2**24, ge=1, le=2**32)


class Settings(Section):
    """The whole file."""

    gateway_id: str = pydantic.Field(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME_BYTES - 1}}}$")
    state: _Path
    devices: _Path | None = None
    kms: Kms | None = None
    identity: _Path
    pinned: _Path
    ports: list[Serial] = pydantic.Field(default_factory=list)
    ble: list[Ble] = pydantic.Field(default_factory=list)
    server: Server
    tls: Tls
    metrics: Metrics = Metrics()
    spool: SpoolBound = SpoolBound()
    updates: Updates | None = None
    kem: Kem = Kem()

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

    def rooted(self, folder: Path) -> Self:
        """The same, with every path relative to `folder`."""

        def root(section: Section, *names: str) -> dict[str, Path]:
            return {name: folder / getattr(section, name) for name in names}

        kept = () if self.devices is None else ("devices",)
        updates = self.updates and self.updates.model_copy(
            update=root(self.updates, "path", *(("key",) if self.updates.key else ()))
        )
        kms = self.kms and self.kms.model_copy(update=root(self.kms, "ca"))
        return self.model_copy(
            update={
                **root(self, "state", "identity", "pinned", *kept),
                "kms": kms,
                "updates": updates,
                "tls": self.tls.model_copy(update=root(self.tls, "certificate", "key", "ca")),
                "ports": [port.model_copy(update=root(port, "path")) for port in self.ports],
            }
        )


def load(path: Path) -> Settings:
    """The settings in the file at `path`.

    Raises:
        FileError: it cannot be read.
        ConfigError: it is not a right configuration; every fault with its line.
    """
    text = files.read(path, "configuration").decode(errors="replace")
    return parse(text, Settings, str(path)).rooted(path.absolute().parent)
