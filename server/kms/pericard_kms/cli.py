"""The command `pericard kms`: runs the KMS, and speaks to one over HTTP like any other client."""

import logging
import os
import time
from pathlib import Path
from typing import get_args

import click

from pericard_edge import files
from pericard_edge.jsonlog import fields, log_to_stderr
from pericard_edge.kms import KmsClient
from pericard_edge.settings import MetricsSettings
from pericard_kms.commands.audit import audit
from pericard_kms.commands.ceremonies import init, roles, seal, status, token, unseal
from pericard_kms.commands.devices import device, lease
from pericard_kms.commands.keys import key
from pericard_kms.errors import Misused
from pericard_protocol.uplink.providers import ProviderName, provider

log = logging.getLogger(__name__)

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
@click.option(
    "--address",
    envvar="PERICARD_KMS_ADDR",
    default="https://127.0.0.1:8200",
    show_default=True,
    help="The KMS to speak to.",
)
@click.option(
    "--token-file",
    envvar="PERICARD_KMS_TOKEN_FILE",
    type=_FILE,
    help="The file with your token; or set PERICARD_KMS_TOKEN.",
)
@click.option("--ca", envvar="PERICARD_KMS_CA", type=_FILE, help="The CA of the KMS's certificate.")
@click.pass_context
def kms(context: click.Context, address: str, token_file: Path | None, ca: Path | None) -> None:
    """The key management system: run one, open it, manage keys, devices, leases and the audit log."""
    token = _secret(token_file, "the token file") if token_file else os.environ.get("PERICARD_KMS_TOKEN", "")
    context.obj = lambda: KmsClient(address, token, ca)


@kms.command()
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), required=True, help="Its folder.")
@click.option("--listen", default="127.0.0.1:8200", show_default=True, metavar="HOST:PORT")
@click.option("--database", envvar="PERICARD_KMS_DATABASE", help="A PostgreSQL URL, instead of SQLite.")
@click.option("--tls-cert", type=_FILE, help="Certificate chain, PEM.")
@click.option("--tls-key", type=_FILE, help="Its private key, PEM.")
@click.option("--tls-client-ca", type=_FILE, help="Demand client certificates of this CA.")
@click.option("--insecure-http", is_flag=True, help="No TLS; on a loopback address only, for tests.")
@click.option("--passphrase-file", type=_FILE, help="Seal by the passphrase in this file.")
@click.option("--pkcs11-module", type=_FILE, help="Seal by a PKCS#11 token: its library.")
@click.option("--pkcs11-token", help="The token's label.")
@click.option("--pkcs11-pin-file", type=_FILE, help="The file with its PIN.")
@click.option(
    "--durability",
    type=click.Choice(["disk", "process"]),
    default="disk",
    show_default=True,
    help="What an answer survives: a power cut, or the end of the process only.",
)
@click.option(
    "--kem",
    type=click.Choice(get_args(ProviderName)),
    default="cryptography",
    show_default=True,
    help="Who computes the ML-KEM of the hospital's sessions.",
)
@click.option(
    "--metrics", metavar="HOST:PORT", help="Serve /metrics and /healthz here, for this machine only."
)
@click.option("--ready-file", type=click.Path(path_type=Path), help="Write the address here once serving.")
def run(
    data: Path,
    listen: str,
    database: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    insecure_http: bool,
    passphrase_file: Path | None,
    pkcs11_module: Path | None,
    pkcs11_token: str | None,
    pkcs11_pin_file: Path | None,
    durability: str,
    kem: ProviderName,
    metrics: str | None,
    ready_file: Path | None,
) -> None:
    """Serve until stopped. A fresh KMS is initialised and unsealed through its API."""
    from pericard_kms import service
    from pericard_kms.ceremonies import seals
    from pericard_kms.http.api import Api
    from pericard_kms.storage.journal import open_database

    host, port = _address(listen)
    tls = None
    if insecure_http:
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise Misused(f"--insecure-http is for loopback addresses only, not {host}")
    elif tls_cert is None or tls_key is None:
        raise click.UsageError("give --tls-cert and --tls-key (or --insecure-http on loopback, for tests)")
    else:
        tls = service.tls_context(tls_cert, tls_key, tls_client_ca)
    pages = None if metrics is None else _pages(metrics)
    auto: seals.Seal | None = None
    if passphrase_file is not None:
        auto = seals.PassphraseSeal(_secret(passphrase_file, "the passphrase file").encode())
    elif pkcs11_module is not None:
        if pkcs11_token is None or pkcs11_pin_file is None:
            raise click.UsageError("--pkcs11-module needs --pkcs11-token and --pkcs11-pin-file")
        auto = seals.Pkcs11Seal(pkcs11_module, pkcs11_token, _secret(pkcs11_pin_file, "the PIN file"))
    log_to_stderr()
    os.umask(0o077)
    chosen = provider(kem)
    log.info("the KMS starts", extra=fields(kem=str(chosen)))
    opened = open_database(data, database, sync=durability == "disk")
    try:
        service.run(Api(opened, time.time, auto, chosen.suites), host, port, tls, pages, ready_file)
    finally:
        opened.close()


def _secret(path: Path, what: str) -> str:
    return files.read_secret(path, what).decode("utf-8", "surrogateescape").strip()


def _pages(listen: str) -> MetricsSettings:
    try:
        return MetricsSettings(listen=listen)
    except ValueError:
        raise click.UsageError(
            f"--metrics {listen}: give 127.0.0.1:PORT; a scraper elsewhere comes through a proxy of yours"
        ) from None


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise click.UsageError(f"--listen {listen}: give HOST:PORT")
    return host.strip("[]"), int(port)


for _command in (init, unseal, seal, status, roles, token, key, device, lease, audit):
    kms.add_command(_command)
