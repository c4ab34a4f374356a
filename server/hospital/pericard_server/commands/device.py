"""`pericard server device`: which device serves whom."""

from pathlib import Path

import click

from pericard_server.commands.output import json_option, print_result
from pericard_server.site import config_option, open_site


@click.group()
def device() -> None:
    """The devices that serve patients."""


@device.command("list")
@config_option
@json_option
def list_(path: Path, as_json: bool) -> None:
    """Show the devices that serve a patient now, and whom."""
    open_site(path)
    from pericard_server.fleet import assignments

    rows = [{"device": device, "patient": patient} for device, patient in assignments.now_serving().items()]
    print_result(rows, as_json, lambda row: f"{row['device']}\t{row['patient']}")
