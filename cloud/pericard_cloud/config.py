"""The cloud's configuration: the TOML tables, and the certificate files that they name."""

from pathlib import Path

from pydantic import Field

from pericard_edge import files
from pericard_edge.config import parse
from pericard_edge.confined import Limits
from pericard_protocol.channel import Identity
from pericard_protocol.schema import Section


class Listen(Section):
    """Where hospitals connect."""

    address: str = Field(pattern=r"^.+:\d{1,5}$")  # host:port; port 0 takes a free one


class Tls(Section):
    """PEM files of this cloud: its certificate, its key, and who vouches for its clients."""

    certificate: str
    key: str
    ca: str


class Clients(Section):
    """Who may call: the names in their certificates."""

    allowed: list[str] = Field(min_length=1)


class Bounds(Section):
    """What clients may make us spend."""

    workers: int = Field(default=2, ge=1, le=256)
    worker_memory_mb: int = Field(default=1024, ge=256)
    worker_seconds: float = Field(default=60.0, gt=0)
    calls_at_once: int = Field(default=8, ge=1)  # of all clients; each holds up to some 30 MB
    call_seconds: float = Field(default=600.0, gt=0)  # the furthest deadline that a client may set
    keys_per_client: int = Field(default=4, ge=1)  # 0.8 MB each; the one unused for longest goes first


class Settings(Section):
    """The whole file. Relative paths are relative to it."""

    listen: Listen
    tls: Tls
    clients: Clients
    limits: Bounds = Bounds()

    @property
    def worker_limits(self) -> Limits:
        """The bounds of one worker process."""
        return Limits(memory_bytes=self.limits.worker_memory_mb << 20, seconds=self.limits.worker_seconds)


def read(path: Path) -> tuple[Settings, Identity]:
    """The settings in the file, and the identity that they name.

    Raises:
        FileError: a file cannot be read, or the key is open to others.
        ConfigError: the settings are wrong; with line and key.
        CredentialError: a certificate or key is not one.
    """
    settings = parse(files.read(path, "configuration").decode(errors="replace"), Settings, path.name)
    tls = settings.tls
    return settings, Identity(
        certificate=files.read(path.parent / tls.certificate, "tls.certificate"),
        private_key=files.read_secret(path.parent / tls.key, "tls.key"),
        authorities=files.read(path.parent / tls.ca, "tls.ca"),
    )
