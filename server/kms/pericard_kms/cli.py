"""The command `pericard kms`: runs the KMS, and speaks to one over HTTP like any other client."""

import os
from pathlib import Path
from typing import Any, get_args

import click

from pericard_edge import files
from pericard_edge.jsonlog import log_to_stderr
from pericard_edge.kms import KmsClient
from pericard_kms.commands.audit import audit
from pericard_kms.commands.ceremonies import init, roles, seal, status, token, unseal
from pericard_kms.commands.devices import device, lease
from pericard_kms.commands.keys import key
from pericard_protocol.uplink.suites import ProviderName

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
    token = os.environ.get("PERICARD_KMS_TOKEN", "")
    if token_file is not None:
        token = files.read_secret_text(token_file, "the token file")
    context.obj = lambda: KmsClient(address, token, ca)


@kms.command()
@click.option(
    "--config", "config_file", type=_FILE, help="The KMS's TOML file; the options below go before it."
)
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Its folder.")
@click.option("--listen", metavar="HOST:PORT", help="127.0.0.1:8200 when nothing says otherwise.")
@click.option("--database", envvar="PERICARD_KMS_DATABASE", help="A PostgreSQL URL, instead of SQLite.")
@click.option("--tls-cert", type=_FILE, help="Certificate chain, PEM.")
@click.option("--tls-key", type=_FILE, help="Its private key, PEM.")
@click.option("--tls-client-ca", type=_FILE, help="Demand client certificates of this CA.")
@click.option(
    "--insecure-http",
    is_flag=True,
    default=None,
    help="No TLS; on a loopback address only, for tests.",
)
@click.option("--passphrase-file", type=_FILE, help="Seal by the passphrase in this file.")
@click.option("--pkcs11-module", type=_FILE, help="Seal by a PKCS#11 token: its library.")
@click.option("--pkcs11-token", help="The token's label.")
@click.option("--pkcs11-pin-file", type=_FILE, help="The file with its PIN.")
@click.option(
    "--durability",
    type=click.Choice(["disk", "process"]),
    help="What an answer survives: a power cut (disk, the default), or the end of the process only.",
)
@click.option(
    "--kem",
    type=click.Choice(get_args(ProviderName)),
    help="Who computes the ML-KEM of the hospital's sessions; cryptography when nothing says otherwise.",
)
@click.option(
    "--metrics", metavar="HOST:PORT", help="Serve /metrics and /healthz here, for this machine only."
)
@click.option("--check", is_flag=True, help="Only check the configuration and every file it names.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Write the address here once serving.")
def run(config_file: Path | None, check: bool, ready_file: Path | None, **options: Any) -> None:
    """Serve until stopped. A fresh KMS is initialised and unsealed through its API."""
    # Imported here: pydantic and uvloop take a time that no other command should pay.
    from pericard_edge.config import ConfigError, load_settings
    from pericard_kms import service
    from pericard_kms.config import KeyManagementSettings, overridden

    of_file = None if config_file is None else load_settings(config_file, KeyManagementSettings)
    given = {name.replace("_", "-"): value for name, value in options.items()}
    try:
        settings = overridden(of_file, given)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    prepared = service.prepare(settings)
    if check:
        click.echo(f"{config_file or 'the options'}: good", err=True)
        return
    log_to_stderr()
    os.umask(0o077)
    service.run(settings, prepared, ready_file)


for _command in (init, unseal, seal, status, roles, token, key, device, lease, audit):
    kms.add_command(_command)
