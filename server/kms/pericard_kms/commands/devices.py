"""`pericard kms device` and `lease`: devices and their life, and which gateway holds their keys."""

import click

from pericard_kms.commands.answers import as_json_option, call, show

_REASON = click.option("--reason", required=True, help="Why; it is kept with the key.")


@click.group()
def device() -> None:
    """Devices and their life."""


@device.command("enrol")
@click.argument("number", type=int)
@click.option("--owner", default="", help="Whom or what the device serves.")
@as_json_option
@click.pass_context
def device_enrol(context: click.Context, number: int, owner: str, as_json: bool) -> None:
    """Enrol a device."""
    show(call(context, "POST", f"devices/devices/{number}", {"owner": owner}), as_json)


@device.command("provision")
@click.argument("number", type=int)
@click.option("--reason", default="provisioning")
@as_json_option
@click.pass_context
def device_provision(context: click.Context, number: int, reason: str, as_json: bool) -> None:
    """Print the key, epoch and boot floor to write to the board; afresh when it had a key before."""
    show(call(context, "POST", f"devices/devices/{number}/provision", {"reason": reason}), as_json)


@device.command("list")
@as_json_option
@click.pass_context
def device_list(context: click.Context, as_json: bool) -> None:
    """List the devices."""
    show(call(context, "LIST", "devices/devices"), as_json)


@device.command("show")
@click.argument("number", type=int)
@as_json_option
@click.pass_context
def device_show(context: click.Context, number: int, as_json: bool) -> None:
    """Show a device and its history."""
    show(call(context, "GET", f"devices/devices/{number}"), as_json)


@device.command("state")
@click.argument("number", type=int)
@click.argument("state", type=click.Choice(["active", "suspended", "lost", "retired"]))
@click.option("--since", type=int, help="For lost: the Unix time from which its frames are in doubt.")
@_REASON
@as_json_option
@click.pass_context
def device_state(
    context: click.Context, number: int, state: str, since: int | None, reason: str, as_json: bool
) -> None:
    """Suspend a device, take it back, or say that it is lost or retired."""
    body = {"state": state, "reason": reason, "since": since}
    show(call(context, "POST", f"devices/devices/{number}/state", body), as_json)


@click.group()
def lease() -> None:
    """Leases: which gateway holds which device keys."""


@lease.command("list")
@as_json_option
@click.pass_context
def lease_list(context: click.Context, as_json: bool) -> None:
    """List the leases."""
    show(call(context, "LIST", "devices/leases"), as_json)


@lease.command("show")
@click.argument("number")
@as_json_option
@click.pass_context
def lease_show(context: click.Context, number: str, as_json: bool) -> None:
    """Show a lease."""
    show(call(context, "GET", f"devices/leases/{number}"), as_json)


@lease.command("revoke")
@click.argument("number")
@as_json_option
@click.pass_context
def lease_revoke(context: click.Context, number: str, as_json: bool) -> None:
    """Revoke a lease."""
    show(call(context, "POST", f"devices/leases/{number}/revoke", {}), as_json)
