"""The hospital server's commands."""

import click


@click.group()
def server() -> None:
    """The hospital server's commands."""
