"""`pericard server`: the group of the hospital server's commands, and `run`, which serves."""

import sys
from pathlib import Path
from typing import Any

import click

from pericard_edge.jsonlog import log_to_stderr
from pericard_server.commands.analyse import analyse
from pericard_server.commands.device import device
from pericard_server.commands.gateway import gateway
from pericard_server.commands.patient import patient
from pericard_server.commands.quarantine import quarantine
from pericard_server.commands.setup import identity, init
from pericard_server.commands.status import status
from pericard_server.commands.waveform import waveform
from pericard_server.errors import DatabaseUnusable
from pericard_server.site import config_option, open_site


class _Commands(click.Group):
    """The commands; where the database refuses, each ends with what to do and no traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Exception as error:
            # Django is looked up, not imported: a command that ended before it needs none.
            django = sys.modules.get("django.db.utils")
            if django is None or not isinstance(error, django.OperationalError):
                raise
            raise DatabaseUnusable(
                f"the database cannot be used now ({error}): see whether its disk is full,"
                " or its folder not ours to write; then repeat the command"
            ) from error


@click.group(cls=_Commands)
def server() -> None:
    """The hospital: sealed records, and blind statistics that it validates."""


for command in (init, identity, gateway, patient, device, quarantine, status, analyse, waveform):
    server.add_command(command)


@server.command()
@config_option
@click.option("--check", is_flag=True, help="Only check the configuration, the keys and the database.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Write the address here once serving.")
def run(path: Path, check: bool, ready_file: Path | None) -> None:
    """Serve the gateways until SIGTERM."""
    log_to_stderr()
    site = open_site(path)
    from pericard_server.service import (
        HospitalService,  # here: gRPC takes half a second that no other command should pay
    )

    service = HospitalService(site)
    if check:
        click.echo(f"{path}: good", err=True)
        return
    service.run(ready_file)
