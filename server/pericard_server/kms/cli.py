"""The command `pericard kms`: runs the KMS, and speaks to one over HTTP like any other client."""

import os
import time
from pathlib import Path

import click

from pericard_server.kms.errors import Misused

_JSON = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


@click.group()
@click.option(
    "--address",
    envvar="PERICARD_KMS_ADDR",
    default="https://127.0.0.1:8200",
    show_default=True,
    help="The KMS's address.",
)
@click.option(
    "--token-file",
    envvar="PERICARD_KMS_TOKEN_FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the token; or the environment variable PERICARD_KMS_TOKEN.",
)
@click.option(
    "--ca",
    envvar="PERICARD_KMS_CA",
    type=click.Path(exists=True, path_type=Path),
    help="The CA of the KMS's certificate.",
)
@click.pass_context
def kms(context: click.Context, address: str, token_file: Path | None, ca: Path | None) -> None:
    """The key management system: run one, open it, and manage keys, devices, leases and the audit log."""
    context.obj = {"address": address, "token_file": token_file, "ca": ca}


@kms.command()
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), required=True, help="The KMS's folder."
)
@click.option("--listen", default="127.0.0.1:8200", show_default=True, metavar="HOST:PORT")
@click.option(
    "--database", envvar="PERICARD_KMS_DATABASE", help="PostgreSQL URL, instead of SQLite in the folder."
)
@click.option("--tls-cert", type=click.Path(exists=True, path_type=Path), help="Certificate chain, PEM.")
@click.option("--tls-key", type=click.Path(exists=True, path_type=Path), help="Its private key, PEM.")
@click.option(
    "--tls-client-ca",
    type=click.Path(exists=True, path_type=Path),
    help="Demand client certificates of this CA.",
)
@click.option("--insecure-http", is_flag=True, help="No TLS; on a loopback address only, for tests.")
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, path_type=Path),
    help="Seal by the passphrase in this file.",
)
@click.option(
    "--pkcs11-module",
    type=click.Path(exists=True, path_type=Path),
    help="Seal by a PKCS#11 token: its library.",
)
@click.option("--pkcs11-token", help="The token's label.")
@click.option(
    "--pkcs11-pin-file", type=click.Path(exists=True, path_type=Path), help="The file with its PIN."
)
@click.option(
    "--durability",
    type=click.Choice(["disk", "process"]),
    default="disk",
    show_default=True,
    help="What an answer survives: a power cut, or only the end of the process (as OpenBao's audit file).",
)
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
) -> None:
    """Serve until stopped. A fresh KMS is initialised and unsealed through its API."""
    from pericard_server.kms import seals, service
    from pericard_server.kms.api import Kms
    from pericard_server.kms.journal import open_store

    host, port = _address(listen)
    tls = None
    if insecure_http:
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise Misused(f"--insecure-http is for loopback addresses only, not {host}")
    elif tls_cert is None or tls_key is None:
        raise click.UsageError("give --tls-cert and --tls-key (or --insecure-http on loopback, for tests)")
    else:
        tls = service.tls_context(tls_cert, tls_key, tls_client_ca)
    auto: seals.Seal | None = None
    if passphrase_file is not None:
        auto = seals.PassphraseSeal(passphrase_file.read_bytes().strip())
    elif pkcs11_module is not None:
        if pkcs11_token is None or pkcs11_pin_file is None:
            raise click.UsageError("--pkcs11-module needs --pkcs11-token and --pkcs11-pin-file")
        auto = seals.Pkcs11Seal(pkcs11_module, pkcs11_token, pkcs11_pin_file.read_text().strip())
    os.umask(0o077)
    store = open_store(data, database, sync=durability == "disk")
    try:
        service.run(Kms(store, time.time, auto), host, port, tls)
    finally:
        store.close()


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise click.UsageError(f"--listen {listen}: give HOST:PORT")
    return host.strip("[]"), int(port)
