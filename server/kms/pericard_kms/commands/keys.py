"""`pericard kms key`: the keys of a transit mount."""

from pathlib import Path
from typing import Any

import click

from pericard_edge.kms import seal_file
from pericard_kms.commands.answers import as_json_option, call, show
from pericard_kms.crypto.key_types import TYPES
from pericard_kms.engines.states import KeyState

_REASON = click.option("--reason", required=True, help="Why; it is kept with the key.")
_MOUNT = click.option("--mount", default="transit", show_default=True, help="The transit mount.")


@click.group()
def key() -> None:
    """Keys of a transit mount."""


@key.command("create")
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(sorted(TYPES)), default="aes256-gcm96", show_default=True)
@click.option("--derived", is_flag=True, help="A context derives the key of each use.")
@click.option("--rotate-every", default="0", help="Rotate by itself after this time, such as 24h.")
@_MOUNT
@as_json_option
@click.pass_context
def key_create(
    context: click.Context, name: str, kind: str, derived: bool, rotate_every: str, mount: str, as_json: bool
) -> None:
    """Make a key."""
    body: dict[str, Any] = {"type": kind, "derived": derived, "auto_rotate_period": rotate_every}
    if kind == "hmac":
        body["key_size"] = 32
    show(call(context, "POST", f"{mount}/keys/{name}", body), as_json)


@key.command("list")
@_MOUNT
@as_json_option
@click.pass_context
def key_list(context: click.Context, mount: str, as_json: bool) -> None:
    """List the keys."""
    show(call(context, "LIST", f"{mount}/keys"), as_json)


@key.command("show")
@click.argument("name")
@_MOUNT
@as_json_option
@click.pass_context
def key_show(context: click.Context, name: str, mount: str, as_json: bool) -> None:
    """Show a key: versions, states, uses; never its secret."""
    show(call(context, "GET", f"{mount}/keys/{name}"), as_json)


@key.command("rotate")
@click.argument("name")
@_MOUNT
@as_json_option
@click.pass_context
def key_rotate(context: click.Context, name: str, mount: str, as_json: bool) -> None:
    """Make a new version; older ones still open."""
    show(call(context, "POST", f"{mount}/keys/{name}/rotate", {}), as_json)


@key.command("state")
@click.argument("name")
@click.argument(
    "state", type=click.Choice([state.value for state in KeyState if state is not KeyState.DESTROYED])
)
@click.option("--version", default=0, help="One version; otherwise all that can make the step.")
@_REASON
@_MOUNT
@as_json_option
@click.pass_context
def key_state(
    context: click.Context, name: str, state: str, version: int, reason: str, mount: str, as_json: bool
) -> None:
    """Change a key's SP 800-57 state."""
    body = {"state": state, "version": version, "reason": reason}
    show(call(context, "POST", f"{mount}/keys/{name}/state", body), as_json)


@key.command("destroy")
@click.argument("name")
@click.option("--delay", default="168h", show_default=True, help="The time in which it can be cancelled.")
@click.option("--cancel", is_flag=True, help="Cancel a destruction that waits.")
@click.option("--reason", default="", help="Why; required unless cancelling.")
@_MOUNT
@as_json_option
@click.pass_context
def key_destroy(
    context: click.Context, name: str, delay: str, cancel: bool, reason: str, mount: str, as_json: bool
) -> None:
    """Schedule a key's destruction, or cancel it. When the delay is over it is final."""
    path = f"{mount}/keys/{name}/" + ("cancel-destruction" if cancel else "destroy")
    show(call(context, "POST", path, {} if cancel else {"delay": delay, "reason": reason}), as_json)


@key.command("seal-file")
@click.argument("name")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.pass_context
def key_seal_file(context: click.Context, name: str, paths: tuple[Path, ...]) -> None:
    """Replace private files by their form sealed under key NAME; a process opens them with its token."""
    with context.obj() as client:
        for path in paths:
            seal_file(client, name, path)
            click.echo(str(path))
