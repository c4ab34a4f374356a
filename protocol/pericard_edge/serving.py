"""How a process that serves gRPC ends."""

import logging
import os
import sys
from typing import NoReturn

import grpc

# What calls under way get to end by themselves; the unit files leave a service 15 s.
GRACE_SECONDS = 5.0
_MARGIN_SECONDS = 2.0

_log = logging.getLogger("pericard.grpc")


def ended(server: grpc.Server) -> bool:
    """Stops the server and waits for that, but not for ever; whether it came to its end.

    Now and then gRPC's core (seen with grpcio 1.85.1, after a message that was refused for its size) never
    tells of a call's end, and `stop` would wait for it without end.
    """
    done: bool = server.stop(grace=GRACE_SECONDS).wait(GRACE_SECONDS + _MARGIN_SECONDS)
    if not done:
        _log.warning("a call that gRPC does not end is left behind")
    return done


def leave() -> NoReturn:
    """Ends the process whose server has not: the interpreter's own end would wait for it.

    Nothing is lost by that: what was acknowledged is durable, and the peers send the rest again.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if sys.exc_info()[0] is None else 1)
