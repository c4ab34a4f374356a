"""`pericard server gateway`: which gateways may deliver."""

from pathlib import Path
from typing import Any

import click

from pericard_protocol.errors import UsageError
from pericard_server.commands.shared import json_option, print_result
from pericard_server.site import config_option, open_site


@click.group()
def gateway() -> None:
    """The gateways that may deliver."""


@gateway.command()
@config_option
@click.argument("name")
def invite(path: Path, name: str) -> None:
    """Print an invitation for gateway NAME: a secret file, good for one enrolment within a day."""
    site = open_site(path)
    from pericard_protocol.uplink.enrolment import Invitation
    from pericard_server.fleet.invitations import new_invitation

    if site.config.enrolment is None:
        raise UsageError(f"{path} has no [enrolment]: set its address and authority_key first")
    token = new_invitation(name)
    click.echo(Invitation(name, token, site.identity().authorities, site.keys.identity_pem()).dump())


@gateway.command()
@config_option
@click.argument("name")
@click.argument("key", type=click.File("rb"))
def add(path: Path, name: str, key: Any) -> None:
    """Register gateway NAME (as in its certificate) with its ML-DSA-65 public KEY (a PEM file)."""
    open_site(path)
    from pericard_server.fleet import gateways

    gateways.register(name, gateways.verifying_key(key.read(), key.name))


@gateway.command()
@config_option
@click.argument("name")
def revoke(path: Path, name: str) -> None:
    """Refuse every new call of gateway NAME, and end its stream within seconds."""
    open_site(path)
    from pericard_server.fleet import gateways

    gateways.revoke(name)


@gateway.command("list")
@config_option
@json_option
def list_(path: Path, as_json: bool) -> None:
    """Show the gateways, since when each is registered, and since when it is revoked."""
    open_site(path)
    from pericard_server.fleet import gateways

    rows = [
        {
            "gateway": one.name,
            "registered_at": one.registered_at.isoformat(timespec="seconds"),
            "revoked_at": one.revoked_at and one.revoked_at.isoformat(timespec="seconds"),
        }
        for one in gateways.all_registered()
    ]
    print_result(
        rows,
        as_json,
        lambda row: "\t".join([row["gateway"], row["registered_at"], row["revoked_at"] or "admitted"]),
    )
