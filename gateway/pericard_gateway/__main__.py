"""`python -m pericard_gateway` is `pericard gateway` where the tools are not installed (a small board)."""

import sys

import click

from pericard_gateway.cli import gateway
from pericard_protocol.errors import PericardError


def main() -> None:
    """Runs the command line."""
    try:
        gateway(prog_name="python -m pericard_gateway")
    except PericardError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
