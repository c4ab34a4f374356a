"""`pericard cloud portal`."""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click

from pericard_edge.jsonlog import log_to_stderr


@click.command()
@click.option(
    "--config", "config_file", required=True, type=click.Path(path_type=Path), help="The cloud's TOML file."
)
@click.option("--check", is_flag=True, help="Only validate the configuration and the site's settings.")
@click.option(
    "--demo-account", is_flag=True, help="Make an account with a random password, and print it once."
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the site's address here when ready to serve; removed at the end.",
)
def portal(config_file: Path, check: bool, demo_account: bool, ready_file: Path | None) -> None:
    """Serves the encrypted prediction portal until SIGTERM or SIGINT."""
    log_to_stderr()
    with tempfile.TemporaryDirectory(prefix="pericard-counts-") as counts:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = counts  # prometheus_client reads it when it is imported
        from pericard_cloud.portal.site import open_site, set_up

        if check:
            from django.core.management import call_command

            set_up(config_file)
            call_command("check", deploy=True, fail_level="WARNING")
            return
        open_site(config_file)
        _first_model()
        from pericard_cloud.portal import demo, service

        if demo_account:
            name, password = demo.account()
            click.echo(f"account {name}, password {password}")
        service.run(ready_file)


def _first_model() -> None:
    """Publishes the model that is built in where there is none yet, if models can be trained here."""
    from django.conf import settings

    if find_spec("xgboost") is None or find_spec("sklearn") is None:
        return
    from pericard_cloud.prediction.training.builtin import publish_when_empty

    publish_when_empty(settings.PORTAL.models)
