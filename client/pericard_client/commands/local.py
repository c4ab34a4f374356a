"""`pericard-client encrypt` and `decrypt`: what needs no portal."""

from pathlib import Path

import click

from pericard_client import export, features, prediction, seal
from pericard_client.commands import options
from pericard_client.keyring import Keyring
from pericard_edge import files
from pericard_protocol.errors import UsageError
from pericard_protocol.prediction import geometry, objects
from pericard_protocol.prediction.manifest import COLUMNS, ROWS

_MAX_REPLY = 1 << 30


@click.command()
@click.argument("model", type=options.in_file)
@click.argument("table", type=options.in_file, metavar="FEATURES")
@click.option("--output", "-o", type=options.out_file, required=True, help="The query to write.")
@click.option("--key", required=True, help="The name of your key.")
@click.option("--mode", type=click.Choice(["auto", "rows", "columns"]), default="auto", show_default=True)
@options.ignore
@options.any_value
@options.passphrase_file
@options.home
def encrypt(
    model: Path,
    table: Path,
    output: Path,
    key: str,
    mode: str,
    ignore: tuple[str, ...],
    any_value: bool,
    passphrase_file: Path | None,
    home: Path,
) -> None:
    """Encrypts FEATURES (CSV or JSON) for the model whose manifest is MODEL."""
    manifest, ring = options.manifest(model), Keyring(home)
    rows = features.parse(files.read(table, "features"), manifest, ignore=ignore, any_value=any_value)
    if len(rows) > objects.MAX_ROWS:
        raise UsageError(f"one query has at most {objects.MAX_ROWS} rows: split the table")
    if mode == "columns" and not manifest.columns:
        raise UsageError(f"{manifest.name} has no mode columns")
    secret = export.open_key(ring.get(key).export, options.passphrase(passphrase_file))
    chosen = {"rows": ROWS, "columns": COLUMNS}.get(mode, prediction.best_mode(manifest, len(rows)))
    query = seal.encrypt(secret, manifest, geometry.bins(rows, manifest), chosen)
    ring.remember(manifest)
    options.write_new(output, query)
    click.echo(f"wrote {output}: {len(rows)} rows, {len(query)} bytes")


@click.command()
@click.argument("reply", type=options.in_file)
@click.option(
    "--model", type=options.in_file, help="The model's manifest, where this was encrypted elsewhere."
)
@options.as_json
@options.passphrase_file
@options.home
def decrypt(reply: Path, model: Path | None, as_json: bool, passphrase_file: Path | None, home: Path) -> None:
    """Opens a reply, with the key and for the model that it names."""
    if reply.stat().st_size > _MAX_REPLY:
        raise UsageError(f"{reply} is too large for a reply")
    content, ring = reply.read_bytes(), Keyring(home)
    fingerprint, _ = objects.belongs_to(content)
    manifest = options.manifest(model) if model else ring.model_of(content)
    stored = ring.of(fingerprint)
    objects.parse_reply(content, manifest, fingerprint)  # before anybody is asked for a passphrase
    secret = export.open_key(stored.export, options.passphrase(passphrase_file))
    sums = seal.open_reply(secret, manifest, content).sums
    options.show(prediction.answers(sums, manifest), manifest, as_json=as_json)
