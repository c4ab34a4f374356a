"""`pericard server init` and `identity`: what is done once, before the first start."""

from pathlib import Path

import click

from pericard_server.site import config_option, open_site


@click.command()
@config_option
def init(path: Path) -> None:
    """Make the keys and the database, or bring the database to this release. Keeps what exists."""
    site = open_site(path, migrate=True)
    site.keys.create()
    click.echo(f"records in {site.config.records.database}", err=True)


@click.command()
@config_option
def identity(path: Path) -> None:
    """Print the hospital's public identity key (PEM), which gateways pin."""
    click.echo(open_site(path).keys.identity_pem().decode(), nl=False)
