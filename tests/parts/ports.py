"""A port that a server of a test gives up and takes again, and that nobody else gets meanwhile."""

import itertools
import secrets
import socket

# Linux hands out ports from 32768 on (ip_local_port_range) to whoever asks for any: a port from there may be
# somebody else's by the time it is used. Those below are only bound by name. Each process of tests counts
# from a place of its own.
_FIRST, _END = 20_000, 32_768
_numbers = itertools.cycle(range(_FIRST, _END))
for _ in range(secrets.randbelow(_END - _FIRST)):
    next(_numbers)


def lasting_port() -> int:
    """A free TCP port of 127.0.0.1 outside the range of those that the kernel chooses."""
    for port in _numbers:
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("the numbers do not end")
