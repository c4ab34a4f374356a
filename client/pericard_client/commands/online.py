"""`pericard-client predict`, `models` and `doctor`: what calls the portal."""

import json
import sys
from pathlib import Path

import click

from pericard_client import export, features, prediction
from pericard_client.commands import options
from pericard_client.doctor import examine
from pericard_client.keyring import Keyring
from pericard_edge import files
from pericard_protocol.prediction import geometry


@click.command()
@click.argument("url")
@click.argument("model")
@click.argument("table", type=options.in_file, metavar="FEATURES")
@click.option("--key", help="The name of your key; without, one is made for this call alone.")
@options.ignore
@options.any_value
@options.as_json
@options.portal_options
@options.passphrase_file
@options.home
def predict(
    url: str,
    model: str,
    table: Path,
    key: str | None,
    ignore: tuple[str, ...],
    any_value: bool,
    as_json: bool,
    token_file: Path | None,
    ca: Path | None,
    passphrase_file: Path | None,
    home: Path,
) -> None:
    """Asks the portal at URL for MODEL's answers to FEATURES (CSV or JSON), which it never sees."""
    portal = options.portal(url, token_file, ca)
    manifest = portal.manifest(model)
    rows = features.parse(files.read(table, "features"), manifest, ignore=ignore, any_value=any_value)
    in_bins = geometry.bins(rows, manifest)
    # A portal may have any parameters in its manifest: what to spend a passphrase on is known now.
    if key is not None:
        stored = Keyring(home).get(key)
        secret = export.open_key(stored.export, options.passphrase(passphrase_file))
    with click.progressbar(length=100, label="encrypting", file=sys.stderr) as bar:

        def progress(stage: str, done: float) -> None:
            bar.label = stage
            bar.update(max(0, round(100 * done) - bar.pos))
            bar.render_progress()

        if key is None:
            found = prediction.predict_once(portal, manifest, in_bins, progress)
        else:
            found = prediction.predict(portal, manifest, secret, stored.public, in_bins, progress)
    options.show(found, manifest, as_json=as_json)


@click.command()
@click.argument("url")
@click.option("--save", metavar="MODEL", help="Write this model's manifest to a file.")
@click.option("--output", "-o", type=options.out_file, help="That file; MODEL.json without.")
@options.as_json
@options.portal_options
def models(
    url: str, save: str | None, output: Path | None, as_json: bool, token_file: Path | None, ca: Path | None
) -> None:
    """Lists the portal's models, or saves the manifest of one."""
    portal = options.portal(url, token_file, ca)
    if save is not None:
        manifest = portal.manifest(save)
        target = output or Path(f"{manifest.name}.json")
        options.write_new(target, manifest.to_json().encode())
        click.echo(f"wrote {target}")
        return
    found = portal.models()
    if as_json:
        click.echo(json.dumps([one.model_dump() for one in found]))
    else:
        rows = [[one.name, one.kind, one.task, str(one.features)] for one in found]
        options.table([["name", "kind", "task", "features"], *rows])


@click.command()
@click.argument("url", required=False)
@options.as_json
@options.portal_options
@options.home
def doctor(url: str | None, as_json: bool, token_file: Path | None, ca: Path | None, home: Path) -> None:
    """Finds the usual mistakes; with URL, also what lies between you and that portal."""
    token = options.token(token_file)
    found = examine(home, options.portal(url, token_file, ca) if url else None, token=bool(token))
    if as_json:
        click.echo(json.dumps([{"what": one.what, "well": one.well, "said": one.said} for one in found]))
    else:
        options.table([[one.what, "well" if one.well else "NOT WELL", one.said] for one in found])
    if not all(one.well for one in found):
        raise SystemExit(1)
