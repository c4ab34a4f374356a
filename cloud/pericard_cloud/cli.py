"""The cloud's commands. What serves is imported when it is to serve: `--help` need not wait for gRPC."""

import logging
import signal
import threading
from pathlib import Path

import click

from pericard_edge import files
from pericard_edge.jsonlog import fields, log_to_stderr

log = logging.getLogger("pericard_cloud")


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
    from pericard_cloud import config
    from pericard_cloud.service import serving
    from pericard_cloud.statistics.servicer import Refusals

    log_to_stderr()
    settings, identity = config.read(config_file)
    if check:
        click.echo(f"{config_file}: good", err=True)
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    refusals = Refusals()
    with serving(settings, identity, refusals) as port:
        address = f"{settings.listen.address.rpartition(':')[0]}:{port}"
        with files.announced(ready_file, address):
            log.info("serving", extra=fields(address=address))
            stop.wait()
    log.info("stopped", extra=fields(refused=refusals.snapshot()))
