"""Who computes the KEM suites: `cryptography`, or liboqs where an operator wants it. The bytes are the same.

The one asked for serves every suite, or nothing starts: none stands in for another.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cryptography

from pericard_protocol.schema import Section
from pericard_protocol.uplink import liboqs
from pericard_protocol.uplink.suites import SUITES, KemSuite, ProviderName


class KemSettings(Section):
    """[kem] of a configuration: who computes the ML-KEM of the uplink's sessions."""

    provider: ProviderName = "cryptography"


@dataclass(frozen=True)
class Provider:
    """A library, its version, and every suite served by it."""

    name: ProviderName
    version: str
    suites: Mapping[int, KemSuite]

    def __str__(self) -> str:
        """As operators read it."""
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
