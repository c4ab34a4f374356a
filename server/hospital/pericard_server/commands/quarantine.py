"""`pericard server quarantine`: the readings of lost devices, which nobody is given unasked."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pericard_protocol.errors import Unavailable
from pericard_server.commands.shared import json_option, print_result, shown_time
from pericard_server.site import Site, config_option, open_site

if TYPE_CHECKING:
    from pericard_server.records.quarantine import Quarantine


def hear_of_losses(site: Site) -> None:
    """Asks the KMS which devices are lost; where it does not answer, says that its last word is shown."""
    try:
        site.losses().refresh()
    except Unavailable as error:
        click.echo(f"{error}; what is shown is its last word", err=True)


@click.group()
def quarantine() -> None:
    """Readings that came while their device was lost: held back until somebody lets them go."""


@quarantine.command("list")
@config_option
@json_option
def list_(path: Path, as_json: bool) -> None:
    """Show every loss: the device, from when to when, why, and how many readings are held back."""
    site = open_site(path)
    hear_of_losses(site)
    from pericard_server.records.quarantine import quarantines

    rows = [_shown(one) for one in quarantines()]
    print_result(
        rows,
        as_json,
        lambda row: "\t".join(
            [
                row["name"],
                f"device {row['device']}",
                f"{row['since']} to {row['until'] or 'now: it is lost'}",
                f"{row['held']} held back",
                f"{row['who']}: {row['why']}",
                *([f"released by {row['released_by']}: {row['released_why']}"] if row["released_at"] else []),
            ]
        ),
    )


@quarantine.command()
@config_option
@click.argument("name")
@click.option("--why", required=True, help="Why these readings are right; kept with the loss.")
def release(path: Path, name: str, why: str) -> None:
    """Let go the readings that `list` showed under NAME; refused when the loss has changed since.

    Those that came after that, or still come, stay held back.
    """
    site = open_site(path)
    hear_of_losses(site)
    from pericard_server.records import quarantine

    click.echo(f"{quarantine.release_readings(name, getpass.getuser(), why)} readings released")


def _shown(one: "Quarantine") -> dict[str, Any]:
    loss = one.loss
    return {
        "name": one.name,
        "device": loss.device,
        "since": shown_time(loss.since_us),
        "until": None if loss.until_us is None else shown_time(loss.until_us),
        "who": loss.who,
        "why": loss.why,
        "held": one.held,
        "released_at": loss.released_at and loss.released_at.isoformat(timespec="seconds"),
        "released_by": loss.released_by,
        "released_why": loss.released_why,
    }
