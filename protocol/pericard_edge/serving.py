"""A gRPC server in a process: bound, told where it is, and stopped within a bound."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from pericard_edge.process import end_now
from pericard_protocol.errors import UsageError

# How long calls under way may take to end by themselves.
GRACE_SECONDS = 5.0
_MARGIN_SECONDS = 2.0

_log = logging.getLogger("pericard.grpc")


class CannotListen(UsageError):
    """An address of the configuration cannot be listened on."""


@contextmanager
def serving(
    server: grpc.Server,
    address: str,
    credentials: grpc.ServerCredentials,
    release: Callable[[], None] = lambda: None,
) -> Iterator[str]:
    """Serves on `address` while the block runs; gives the address with the port that was bound.

    When the block ends, calls under way get `GRACE_SECONDS`. `release` is called after that: it frees what
    calls may still wait for. The process exits at once, if gRPC did not end the server in its time.

    Raises:
        CannotListen: the address is in use, or not ours.
    """
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError:
        raise CannotListen(f"cannot listen on {address}: is it in use, or not this machine's?") from None
    server.start()
    try:
        yield f"{address.rpartition(':')[0]}:{port}"
    finally:
        ended = _stop(server)
        release()
        if not ended:
            # A normal exit of Python would wait for the server's threads. Nothing is lost without that wait:
            # what was acknowledged is durable, and the peers send the rest again.
            end_now(0 if sys.exc_info()[0] is None else 1)


def _stop(server: grpc.Server) -> bool:
    """Whether the server came to its end.

    Now and then gRPC's core (seen with grpcio 1.85.1, after a message that was refused for its size) never
    tells of a call's end, and `stop` would wait for it without end.
    """
    ended: bool = server.stop(grace=GRACE_SECONDS).wait(GRACE_SECONDS + _MARGIN_SECONDS)
    if not ended:
        _log.warning("a call that gRPC does not end is left behind")
    return ended
