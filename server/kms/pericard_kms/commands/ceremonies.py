"""The ceremonies: initialise, unseal, seal and look at a KMS; write its roles and make tokens."""

import json
import sys
from typing import Any

import click

from pericard_kms.access.roles import ROLES
from pericard_kms.commands.answers import as_json_option, call, show


@click.command()
@click.option("--shares", default=5, show_default=True, help="How many key shares to make.")
@click.option("--threshold", default=3, show_default=True, help="How many of them unseal.")
@as_json_option
@click.pass_context
def init(context: click.Context, shares: int, threshold: int, as_json: bool) -> None:
    """Initialise a fresh KMS; prints the key shares and the root token, this once."""
    body = {"secret_shares": shares, "secret_threshold": threshold}
    answer = call(context, "PUT", "sys/init", body)
    if as_json:
        click.echo(json.dumps(answer))
        return
    for number, share in enumerate(answer["keys_base64"], start=1):
        click.echo(f"key share {number}: {share}")
    click.echo(f"root token: {answer['root_token']}")
    click.echo(
        "Give each share to another person. Make roles and tokens, then revoke the root token.", err=True
    )


@click.command()
@click.option("--reset", is_flag=True, help="Forget the shares given so far.")
@as_json_option
@click.pass_context
def unseal(context: click.Context, reset: bool, as_json: bool) -> None:
    """Give one key share: typed unseen, or on standard input."""
    body: dict[str, Any] = {"reset": True}
    if not reset:
        typed = (
            click.prompt("key share", hide_input=True, err=True)
            if sys.stdin.isatty()
            else sys.stdin.readline()
        )
        body = {"key": typed.strip()}
    show(call(context, "PUT", "sys/unseal", body), as_json)


@click.command()
@click.pass_context
def seal(context: click.Context) -> None:
    """Forget every key at once, until it is unsealed again."""
    call(context, "PUT", "sys/seal", {})


@click.command()
@as_json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Whether it is initialised and unsealed; exit code 1 when it is sealed."""
    answer = call(context, "GET", "sys/seal-status")
    show(answer, as_json)
    if answer["sealed"]:
        context.exit(1)


@click.command()
@click.pass_context
def roles(context: click.Context) -> None:
    """Write the policies of gateway, server, cloud, key officer and auditor."""
    with context.obj() as client:
        for name, text in ROLES.items():
            client.call("PUT", f"sys/policies/acl/{name}", {"policy": text})
            click.echo(name)


@click.command()
@click.option(
    "--policy", "chosen", multiple=True, required=True, help="A policy of the token; repeat for more."
)
@click.option("--ttl", default="768h", show_default=True)
@click.option("--name", default="", help="Shown in the audit log.")
@click.option("--gateway", help="The one gateway that the token acts for.")
@as_json_option
@click.pass_context
def token(
    context: click.Context, chosen: tuple[str, ...], ttl: str, name: str, gateway: str | None, as_json: bool
) -> None:
    """Make a token; prints it, this once."""
    body = {"policies": list(chosen), "ttl": ttl, "display_name": name, "no_parent": True}
    if gateway is not None:
        body["meta"] = {"gateway": gateway}
    answer = call(context, "POST", "auth/token/create", body)["auth"]
    click.echo(json.dumps(answer) if as_json else answer["client_token"])
