"""The library that computes the KEM suites: `cryptography`, or liboqs where an operator asks for it.

Both give the same bytes. A process does not start when the library asked for is missing or lacks a suite: the
other library never takes its place unasked.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cryptography

from pericard_protocol.schema import Section
from pericard_protocol.uplink import liboqs
from pericard_protocol.uplink.suites import SUITES, KemSuite, ProviderName


class KemSettings(Section):
    """[kem] of a configuration: which library computes the ML-KEM of the uplink's sessions."""

    provider: ProviderName = "cryptography"


@dataclass(frozen=True)
class Provider:
    """A library, its version, and every suite served by it."""

    name: ProviderName
    version: str
    suites: Mapping[int, KemSuite]

    def __str__(self) -> str:
        """Name and version, for logs and operators."""
        return f"{self.name} {self.version}"


def provider(name: ProviderName) -> Provider:
    """The provider of this name.

    Raises:
        NoLiboqs: it is not installed here; what to do.
    """
    if name == "cryptography":
        return Provider(name, cryptography.__version__, SUITES)
    oqs = liboqs.load_liboqs()
    return Provider(name, oqs.oqs_version(), liboqs.suites(oqs))
