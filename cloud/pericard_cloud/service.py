"""The running cloud: workers, keys, the service behind mutual TLS, its pages, until it is told to stop.

The stop takes at most 7 s of gRPC's and then kills the workers: nobody waits for what they compute, because
the hospital sends a job that was cut off again.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from pericard_cloud.config import CloudSettings
from pericard_cloud.health import WorkerHealth
from pericard_cloud.statistics.counts import CloudCounts
from pericard_cloud.statistics.keys import KeyStore
from pericard_cloud.statistics.servicer import BlindStatistics
from pericard_edge.confined import ConfinedExecutor
from pericard_edge.jsonlog import fields
from pericard_edge.pages import served_beside
from pericard_edge.process import ready, stop_event
from pericard_edge.serving import serving
from pericard_protocol import channel
from pericard_protocol.fhe.jobs import MAX_MESSAGE_BYTES

log = logging.getLogger("pericard.cloud")


def run(settings: CloudSettings, identity: channel.Identity, ready_file: Path | None) -> None:
    """Serves until SIGTERM or Ctrl-C; the bound address stands in `ready_file` while it does.

    Raises:
        CannotListen, NoPages: an address of the settings cannot be listened on.
    """
    stop, counts = stop_event(), CloudCounts()
    with ConfinedExecutor(settings.limits.workers, settings.worker_limits) as workers:
        server = _server(settings, workers, counts)
        health = WorkerHealth(workers, settings.limits.worker_seconds)
        credentials = channel.server_credentials(identity)
        with (
            served_beside(settings.metrics, counts.registry, lambda: health.page(stop.is_set())) as pages,
            serving(server, settings.listen.address, credentials, workers.kill) as address,
            ready(ready_file, address),
        ):
            log.info("serving", extra=fields(address=address, pages=pages))
            stop.wait()
    log.info("stopped", extra=fields(refused=counts.refusals()))


def _server(settings: CloudSettings, workers: ConfinedExecutor, counts: CloudCounts) -> grpc.Server:
    bounds = settings.limits
    service = BlindStatistics(workers, KeyStore(bounds.keys_per_client), counts, bounds.call_seconds)
    return grpc.server(
        ThreadPoolExecutor(bounds.calls_at_once, thread_name_prefix="call"),
        handlers=[service.handler()],
        interceptors=[
            channel.Admission(settings.clients.allowed, lambda error: counts.refuse(error.reason, str(error)))
        ],
        options=channel.server_options(MAX_MESSAGE_BYTES),
        maximum_concurrent_rpcs=bounds.calls_at_once,
    )
