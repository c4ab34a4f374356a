"""The cloud's commands."""

import click


@click.group()
def cloud() -> None:
    """The cloud's commands."""
