"""The cloud's commands."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import click
import grpc

from pericard_cloud import config
from pericard_cloud.keys import KeyStore
from pericard_cloud.service import MAX_MESSAGE_BYTES, BlindStatistics, Refusals
from pericard_protocol import channel
from pericard_protocol.confined import ConfinedExecutor
from pericard_protocol.errors import UsageError
from pericard_protocol.jsonlog import fields, log_to_stderr

log = logging.getLogger("pericard_cloud")

_GRACE_SECONDS = 5.0  # for calls in flight when we are told to stop


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
        with _announced(address, ready_file):
            log.info("serving", extra=fields(address=address))
            stop.wait()
    log.info("stopped", extra=fields(refused=refusals.snapshot()))


@contextlib.contextmanager
def serving(settings: config.Settings, identity: channel.Identity, refusals: Refusals) -> Iterator[int]:
    """The cloud's server while the block runs; gives its port.

    Raises:
        UsageError: the address cannot be bound.
    """
    bounds = settings.limits
    with ConfinedExecutor(bounds.workers, settings.worker_limits) as workers:
        service = BlindStatistics(workers, KeyStore(bounds.keys_per_client), refusals, bounds.call_seconds)
        server = grpc.server(
            futures.ThreadPoolExecutor(bounds.calls_at_once, thread_name_prefix="call"),
            handlers=[service.handler()],
            interceptors=[
                channel.Admission(settings.clients.allowed, lambda e: refusals.count(e.reason, str(e)))
            ],
            options=channel.server_options(MAX_MESSAGE_BYTES),
            maximum_concurrent_rpcs=bounds.calls_at_once,
        )
        try:
            port = server.add_secure_port(settings.listen.address, channel.server_credentials(identity))
        except RuntimeError:
            raise UsageError(f"cannot listen on {settings.listen.address}: is it free, and ours?") from None
        server.start()
        try:
            yield port
        finally:
            server.stop(_GRACE_SECONDS).wait()


@contextlib.contextmanager
def _announced(address: str, ready_file: Path | None) -> Iterator[None]:
    """The ready file, whole from its first moment, while the block runs."""
    if ready_file is None:
        yield
        return
    draft = ready_file.with_name(f".{ready_file.name}.{os.getpid()}")
    draft.write_text(address)
    draft.replace(ready_file)
    try:
        yield
    finally:
        ready_file.unlink(missing_ok=True)
