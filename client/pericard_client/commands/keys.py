"""`pericard-client keys`: the user's keys, each sealed under a passphrase."""

import json
from pathlib import Path

import click

from pericard_client import export, seal
from pericard_client.commands import options
from pericard_client.keyring import Keyring, StoredKey
from pericard_edge import files
from pericard_protocol.prediction import parameters as sets

_USUAL_STEPS: tuple[int, ...] = (2, 32)


@click.group()
def keys() -> None:
    """Your keys. The secret ones are kept sealed under a passphrase, and never leave this machine open."""


@keys.command()
@click.argument("name")
@click.option("--model", type=options.in_file, help="The manifest of a model that the key shall serve.")
@options.passphrase_file
@options.home
def new(name: str, model: Path | None, passphrase_file: Path | None, home: Path) -> None:
    """Makes a key. Without --model it serves models of the usual size: 1,024 input slots and g = 16."""
    parameters, steps = sets.S1, _USUAL_STEPS
    if model is not None:
        manifest = options.manifest(model)
        parameters, steps = manifest.parameter_set, manifest.steps
    phrase = options.passphrase(passphrase_file, new=True)
    secret, public = seal.make_keys(parameters, steps)
    Keyring(home).add(name, export.seal_key(secret, phrase), public)
    click.echo(f"made key {name}, fingerprint {secret.fingerprint.hex()}")


@keys.command(name="list")
@options.as_json
@options.home
def list_keys(as_json: bool, home: Path) -> None:
    """Lists your keys."""
    ring = Keyring(home)
    found = [_described(ring.get(name)) for name in ring.names()]
    if as_json:
        click.echo(json.dumps(found))
    else:
        options.table(
            [
                ["name", "set", "fingerprint"],
                *([one["name"], one["set"], one["fingerprint"]] for one in found),
            ]
        )


@keys.command()
@click.argument("name")
@options.as_json
@options.home
def show(name: str, as_json: bool, home: Path) -> None:
    """Shows what is public about a key."""
    one = _described(Keyring(home).get(name))
    if as_json:
        click.echo(json.dumps(one))
    else:
        options.table([[key, str(value)] for key, value in one.items()])


@keys.command(name="export")
@click.argument("name")
@click.option("--output", "-o", type=options.out_file, required=True, help="The file to write.")
@options.passphrase_file
@click.option(
    "--export-passphrase-file", type=options.in_file, help="Holds another passphrase, for the export."
)
@options.home
def export_key(
    name: str, output: Path, passphrase_file: Path | None, export_passphrase_file: Path | None, home: Path
) -> None:
    """Writes a key to a file that another kit or the browser opens with the passphrase."""
    secret = export.open_key(Keyring(home).get(name).export, options.passphrase(passphrase_file))
    phrase = options.passphrase(
        export_passphrase_file or passphrase_file, new=True, what="Passphrase of the export"
    )
    options.write_new(output, export.seal_key(secret, phrase).to_json())
    click.echo(f"wrote {output}")


@keys.command(name="import")
@click.argument("file", type=options.in_file)
@click.argument("name")
@options.passphrase_file
@options.home
def import_key(file: Path, name: str, passphrase_file: Path | None, home: Path) -> None:
    """Keeps a key that was exported elsewhere, under the passphrase that it has."""
    found = export.KeyExport.from_json(files.read(file, "key export"))
    export.open_key(found, options.passphrase(passphrase_file))
    Keyring(home).add(name, found)
    click.echo(f"imported key {name}, fingerprint {found.fingerprint}")


@keys.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.home
def delete(name: str, yes: bool, home: Path) -> None:
    """Deletes a key: what was encrypted under it can never be opened again."""
    if not yes:
        click.confirm(f"Delete key {name} for good?", abort=True, err=True)
    Keyring(home).delete(name)
    click.echo(f"deleted key {name}")


def _described(one: StoredKey) -> dict[str, str]:
    return {
        "name": one.name,
        "set": one.export.set,
        "steps": ", ".join(map(str, one.export.steps)) or "none",
        "fingerprint": one.export.fingerprint,
        "public": f"{len(one.public)} bytes" if one.public else "not here",
    }
