"""The KMS's configuration: what kms.toml may say, and which options of `pericard kms run` go before it."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import pydantic

from pericard_edge.config import ConfigError, ConfiguredPath
from pericard_edge.settings import Address, MetricsSettings, split_address
from pericard_protocol.schema import Section
from pericard_protocol.uplink.providers import KemSettings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class StoreSettings(Section):
    """Where the sealed values lie, and what an answer survives: a power cut, or the process's end only."""

    folder: ConfiguredPath
    database: str | None = None  # a PostgreSQL URL, instead of SQLite in the folder
    durability: Literal["disk", "process"] = "disk"


class KmsListenSettings(Section):
    """Where clients connect; without TLS on a loopback address only, for tests."""

    address: Address = "127.0.0.1:8200"
    insecure_http: bool = False


class KmsTlsSettings(Section):
    """PEM files: the certificate chain, its key; with `client_ca` clients must show a certificate of it."""

    certificate: ConfiguredPath
    key: ConfiguredPath
    client_ca: ConfiguredPath | None = None


class PassphraseSettings(Section):
    """It unseals itself by the passphrase in this private file."""

    file: ConfiguredPath


class Pkcs11Settings(Section):
    """It unseals itself by a PKCS#11 token: its library, its label, the private file with its PIN."""

    module: ConfiguredPath
    token: str
    pin_file: ConfiguredPath


class KeyManagementSettings(Section):
    """The whole file. Relative paths begin at its folder."""

    store: StoreSettings
    listen: KmsListenSettings = KmsListenSettings()
    tls: KmsTlsSettings | None = None
    passphrase: PassphraseSettings | None = None
    pkcs11: Pkcs11Settings | None = None
    kem: KemSettings = KemSettings()
    metrics: MetricsSettings | None = None

    @pydantic.model_validator(mode="after")
    def _tls_or_loopback(self) -> Self:
        host, _ = split_address(self.listen.address)
        if self.listen.insecure_http and host not in _LOOPBACK:
            raise ValueError(f"insecure HTTP is for loopback addresses only, not {host}")
        if self.listen.insecure_http == (self.tls is not None):
            raise ValueError("give a TLS certificate and its key, or insecure HTTP on loopback, for tests")
        return self

    @pydantic.model_validator(mode="after")
    def _one_seal(self) -> Self:
        if self.passphrase is not None and self.pkcs11 is not None:
            raise ValueError("give a passphrase or a PKCS#11 token to unseal by, not both")
        return self


#: Where in the file each option of `pericard kms run` has its place.
PLACES = {
    "data": ("store", "folder"),
    "database": ("store", "database"),
    "durability": ("store", "durability"),
    "listen": ("listen", "address"),
    "insecure-http": ("listen", "insecure_http"),
    "tls-cert": ("tls", "certificate"),
    "tls-key": ("tls", "key"),
    "tls-client-ca": ("tls", "client_ca"),
    "passphrase-file": ("passphrase", "file"),
    "pkcs11-module": ("pkcs11", "module"),
    "pkcs11-token": ("pkcs11", "token"),
    "pkcs11-pin-file": ("pkcs11", "pin_file"),
    "kem": ("kem", "provider"),
    "metrics": ("metrics", "listen"),
}
_HINTS = {
    "metrics": "give 127.0.0.1:PORT; a scraper elsewhere comes through a proxy of yours",
    "listen": "give HOST:PORT, a port up to 65535",
}


def overridden(settings: KeyManagementSettings | None, options: Mapping[str, Any]) -> KeyManagementSettings:
    """The file's settings, each option that was given in the place of what the file says; or options alone.

    An option of one way to unseal puts the file's other way aside, and so do insecure HTTP and TLS.

    Raises:
        ConfigError: together they are no configuration; it names the options.
    """
    table = {} if settings is None else settings.model_dump(exclude_unset=True)
    given = {PLACES[name]: value for name, value in options.items() if value is not None}
    tables = {place[0] for place in given}
    if "passphrase" in tables:
        table.pop("pkcs11", None)
    if "pkcs11" in tables:
        table.pop("passphrase", None)
    if ("listen", "insecure_http") in given:
        table.pop("tls", None)
    elif "tls" in tables:
        table.get("listen", {}).pop("insecure_http", None)
    for (name, key), value in given.items():
        table.setdefault(name, {})[key] = value
    try:
        return KeyManagementSettings.model_validate(table)
    except pydantic.ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        raise ConfigError("; ".join(_fault(fault["loc"], fault["msg"]) for fault in faults)) from None


def _fault(place: tuple[int | str, ...], message: str) -> str:
    """What is wrong, by the options that would mend it."""
    names = [name for name, found in PLACES.items() if found[: len(place)] == place] if place else []
    if not names:
        return message.removeprefix("Value error, ")
    if message == "Field required":
        return f"--{names[0]} is missing"
    return f"--{names[0]}: {_HINTS.get(names[0], message)}"
