"""The cloud's commands. What serves is imported when it is to serve: `--help` need not wait for gRPC."""

from pathlib import Path

import click

from pericard_cloud.portal.command import portal
from pericard_cloud.prediction.training.commands import import_model, train
from pericard_edge.jsonlog import log_to_stderr


@click.group()
def cloud() -> None:
    """The untrusted cloud: computes on ciphertexts that it cannot read."""


@cloud.command()
@click.option(
    "--config", "config_file", required=True, type=click.Path(path_type=Path), help="The cloud's TOML file."
)
@click.option("--check", is_flag=True, help="Only validate the configuration and the certificates.")
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the bound address here when ready to serve; removed at the end.",
)
def run(config_file: Path, check: bool, ready_file: Path | None) -> None:
    """Serves blind statistics until SIGTERM or SIGINT."""
    from pericard_cloud import service
    from pericard_cloud.config import CloudSettings
    from pericard_edge.config import load_settings

    log_to_stderr()
    settings = load_settings(config_file, CloudSettings)
    identity = settings.tls.identity()
    if check:
        click.echo(f"{config_file}: good", err=True)
        return
    service.run(settings, identity, ready_file)


cloud.add_command(portal)
cloud.add_command(train)
cloud.add_command(import_model)
