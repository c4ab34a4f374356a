"""The gateway's commands. Each imports what it does once it runs: `--help` need not wait for gRPC."""

import json
import os
from pathlib import Path

import click

from pericard_edge import files
from pericard_edge.jsonlog import log_to_stderr

_config = click.option(
    "--config",
    "config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The gateway's TOML configuration.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def gateway() -> None:
    """The ward's gateway: opens device frames and seals them for the hospital."""


@gateway.command()
@_config
@click.option("--check", is_flag=True, help="Only read and check the configuration and every file it names.")
@click.option(
    "--ready-file", type=click.Path(dir_okay=False, path_type=Path), help="There while the gateway is ready."
)
def run(config: Path, check: bool, ready_file: Path | None) -> None:
    """Reads the ports, seals what is authentic, delivers it; SIGTERM or Ctrl-C stops it in good order."""
    import asyncio

    from pericard_edge.config import load_settings
    from pericard_edge.process import ready, stop_event_in_loop
    from pericard_gateway.config import GatewaySettings
    from pericard_gateway.service import GatewayService

    os.umask(0o077)
    log_to_stderr()
    service = GatewayService(load_settings(config, GatewaySettings))
    if check:
        click.echo(f"{config}: good")
        return

    async def serve() -> None:
        await service.run(stop_event_in_loop(), ready(ready_file, "ready\n"))

    asyncio.run(serve())


@gateway.command()
@_config
@click.option("--server", "address", required=True, help="The hospital's enrolment address, host:port.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The invitation, from `pericard server gateway invite`; remove it afterwards.",
)
def enrol(config: Path, address: str, token_file: Path) -> None:
    """Makes this gateway's keys and has the hospital certify them, by a one-time invitation."""
    from pericard_edge.config import load_settings
    from pericard_gateway.config import GatewaySettings
    from pericard_gateway.uplink.enrol import redeem_invitation
    from pericard_protocol.uplink.enrolment import parse_invitation

    os.umask(0o077)
    invitation = parse_invitation(files.read_secret(token_file, "invitation"))
    redeem_invitation(load_settings(config, GatewaySettings), address, invitation)
    click.echo(f"{invitation.gateway} is enrolled; remove {token_file}")


@gateway.command("status")
@_config
@_json
@click.option("--once", is_flag=True, help="Print the table once, also on a terminal.")
def show_status(config: Path, as_json: bool, once: bool) -> None:
    """What the running gateway has counted since it started; on a terminal, until Ctrl-C."""
    from pericard_edge.config import load_settings
    from pericard_gateway.config import GatewaySettings
    from pericard_gateway.operations import status, table

    state = load_settings(config, GatewaySettings).state
    if as_json:
        click.echo(json.dumps(status.fetch(state)))
    else:
        table.show(lambda: status.fetch(state), once=once)


@gateway.command()
@_config
@_json
def doctor(config: Path, as_json: bool) -> None:
    """Finds the usual mistakes and says what to do; exits 1 when there is one."""
    from pericard_edge.config import load_settings
    from pericard_gateway.config import GatewaySettings
    from pericard_gateway.operations.doctor import examine

    findings = list(examine(load_settings(config, GatewaySettings)))
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings]))
    else:
        for finding in findings:
            click.echo(f"{'!!' if finding.advice else 'ok'}  {finding.what}: {finding.found}")
            if finding.advice:
                click.echo(f"    {finding.advice}")
    if any(finding.advice for finding in findings):
        raise click.exceptions.Exit(1)
