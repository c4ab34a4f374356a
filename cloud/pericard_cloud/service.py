"""The cloud put together: workers, keys, service, TLS and its port."""

import contextlib
from collections.abc import Iterator
from concurrent import futures

import grpc

from pericard_cloud.config import Settings
from pericard_cloud.statistics.keys import KeyStore
from pericard_cloud.statistics.servicer import MAX_MESSAGE_BYTES, BlindStatistics, Refusals
from pericard_edge.confined import ConfinedExecutor
from pericard_edge.serving import ended
from pericard_protocol import channel
from pericard_protocol.errors import UsageError


@contextlib.contextmanager
def serving(settings: Settings, identity: channel.Identity, refusals: Refusals) -> Iterator[int]:
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
            ended(server)
