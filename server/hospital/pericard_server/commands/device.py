"""`pericard server device`: which device serves whom, and, without a KMS, which ones are lost."""

import getpass
import time
from datetime import datetime
from pathlib import Path

import click

from pericard_protocol.errors import UsageError
from pericard_server.commands.shared import json_option, microseconds, print_result
from pericard_server.site import Site, config_option, open_site


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


@device.command()
@config_option
@click.argument("number", type=click.IntRange(0, 2**32 - 1))
@click.option("--since", type=click.DateTime(), help="From when its frames are in doubt (UTC). Default: now.")
@click.option("--why", required=True, help="How it was lost; kept with the loss.")
def lost(path: Path, number: int, since: datetime | None, why: str) -> None:
    """Refuse new frames of device NUMBER, and hold back its readings from the time given."""
    _without_kms(open_site(path), f"pericard kms device state {number} lost")
    from pericard_server.fleet import losses

    losses.note_lost(number, microseconds(since, int(time.time() * 1e6)), getpass.getuser(), why)


@device.command()
@config_option
@click.argument("number", type=click.IntRange(0, 2**32 - 1))
def found(path: Path, number: int) -> None:
    """Take frames of device NUMBER again, once it has a new key: the old one may be known."""
    _without_kms(open_site(path), f"pericard kms device provision {number}")
    from pericard_server.fleet import losses

    losses.note_found(number)


def _without_kms(site: Site, instead: str) -> None:
    if site.config.kms is not None:
        raise UsageError(f"the KMS keeps this hospital's devices: tell it, by `{instead}`")
