"""`pericard server status`: what is stored and what was refused."""

import dataclasses
from pathlib import Path

import click

from pericard_server.commands.quarantine import hear_of_losses
from pericard_server.commands.shared import json_option, print_result
from pericard_server.site import config_option, open_site


@click.command()
@config_option
@json_option
def status(path: Path, as_json: bool) -> None:
    """Show what is stored, for each device, what is in quarantine and what was refused, by reason."""
    site = open_site(path)
    hear_of_losses(site)
    from pericard_server.records.summary import summarise

    shown = dataclasses.asdict(summarise()) | {"kem": site.keys.kem}
    print_result(shown, as_json, lambda item: f"{item[0]}\t{item[1]}")
