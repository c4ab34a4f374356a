"""Asks the running gateway for its status, over its page on loopback."""

import http.client
import json
from pathlib import Path
from typing import Any

from pericard_gateway.errors import NotRunning

ADDRESS_FILE = "address"  # in the state folder: where the running gateway's pages are
_SECONDS = 5.0


def fetch(state: Path) -> dict[str, Any]:
    """What /status says; see the README for its keys.

    Raises:
        NotRunning: no gateway with this state folder answers.
    """
    try:
        host, _, port = (state / ADDRESS_FILE).read_text().partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=_SECONDS)
        try:
            connection.request("GET", "/status")
            found = json.loads(connection.getresponse().read())
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        raise NotRunning(
            f"no gateway runs with the state folder {state}: start it with `pericard gateway run`"
        ) from None
    if not isinstance(found, dict):
        raise NotRunning(f"what answers for {state} is not a gateway")
    return found
