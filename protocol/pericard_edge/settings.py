"""The tables that more than one process's configuration has: addresses, TLS files, the pages of metrics."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pydantic

from pericard_edge import files
from pericard_edge.config import ConfiguredPath
from pericard_protocol.schema import Section

if TYPE_CHECKING:
    from pericard_protocol.channel import Identity

_LAST_PORT = 65535


def _with_a_port_that_is_one(address: str) -> str:
    if split_address(address)[1] > _LAST_PORT:  # uvloop, for one, would listen on its last 16 bits
        raise ValueError(f"a port is at most {_LAST_PORT}")
    return address


#: HOST:PORT, an IPv6 host in brackets. To listen on, port 0 takes a free one.
Address = Annotated[
    str,
    pydantic.Field(pattern=r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$"),
    pydantic.AfterValidator(_with_a_port_that_is_one),
]
#: HOST:PORT that only programs on this machine reach.
LoopbackAddress = Annotated[
    str,
    pydantic.Field(pattern=r"^(127\.0\.0\.1|localhost):[0-9]{1,5}$"),
    pydantic.AfterValidator(_with_a_port_that_is_one),
]


class ListenSettings(Section):
    """Where this process's peers connect."""

    address: Address


class TlsSettings(Section):
    """PEM files: this process's certificate, its key, and the authorities that vouch for its peers."""

    certificate: ConfiguredPath
    key: ConfiguredPath
    ca: ConfiguredPath

    def identity(self, read_secret: Callable[[Path, str], bytes] = files.read_secret) -> "Identity":
        """What is in the files now; `read_secret` gives the private key's file its content.

        Raises:
            FileError: a file cannot be read, or the key is open to others.
            CredentialError: a certificate or key is not one, or they are no pair.
        """
        from pericard_protocol.channel import Identity  # loads gRPC, which most commands do not need

        return Identity(
            certificate=files.read(self.certificate, "tls.certificate"),
            private_key=read_secret(self.key, "tls.key"),
            authorities=files.read(self.ca, "tls.ca"),
        )


class MetricsSettings(Section):
    """Where /metrics and /healthz are served, without a password: so only this machine may ask."""

    listen: LoopbackAddress = "127.0.0.1:0"  # port 0: a free one, told by the log


def split_address(address: str) -> tuple[str, int]:
    """(host without brackets, port) of an `Address`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
