"""The gateway's commands."""

import click


@click.group()
def gateway() -> None:
    """The gateway's commands."""
