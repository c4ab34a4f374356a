"""`pericard server patient`: the patients, by pseudonym, and the devices that serve them."""

from pathlib import Path

import click

from pericard_server.commands.shared import json_option, print_result
from pericard_server.site import config_option, open_site


@click.group()
def patient() -> None:
    """The patients, by pseudonym, and the devices that serve them."""


@patient.command()
@config_option
@click.argument("pseudonym")
@click.option("--device", type=click.IntRange(0, 2**32 - 1), help="The device that serves them from now on.")
def add(path: Path, pseudonym: str, device: int | None) -> None:
    """Register a patient, or give a registered one a device."""
    open_site(path)
    from pericard_server.fleet import assignments
    from pericard_server.records import patients

    patients.register(pseudonym)
    if device is not None:
        assignments.assign(device, pseudonym)


@patient.command("list")
@config_option
@json_option
def list_(path: Path, as_json: bool) -> None:
    """Show the patients, their present devices and how many readings each has."""
    open_site(path)
    from pericard_server.fleet import assignments
    from pericard_server.records import patients

    serving = assignments.now_serving()
    rows = [
        {
            "patient": pseudonym,
            "devices": [device for device, whom in serving.items() if whom == pseudonym],
            "readings": readings,
        }
        for pseudonym, readings in patients.readings_of_each().items()
    ]
    print_result(
        rows, as_json, lambda row: f"{row['patient']}\tdevices {row['devices']}\t{row['readings']} readings"
    )
