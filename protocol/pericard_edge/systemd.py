"""Tells systemd that a process is ready, alive and stopping (sd_notify(3)); silent where there is none."""

import os
import socket


def notify(state: str) -> None:
    """Sends one state, such as "READY=1", to the service manager."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    # A leading "@" is systemd's way to write a socket of the abstract namespace.
    target = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.sendto(state.encode(), target)


def watchdog_seconds() -> float | None:
    """How often to say that we are alive: half of what WatchdogSec allows; None when nobody watches."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    return int(allowed) / 2e6 if allowed.isdecimal() and int(allowed) else None
