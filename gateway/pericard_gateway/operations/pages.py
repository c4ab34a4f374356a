"""The gateway's pages on loopback, each made from a snapshot when asked for: /metrics, /healthz, /status."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from pericard_edge import files
from pericard_edge.pages import Page, Pages, health_page, metrics_page
from pericard_gateway.operations import health
from pericard_gateway.operations.metrics import GatewayMetrics
from pericard_gateway.operations.status import ADDRESS_FILE
from pericard_gateway.updates.rollout import Rollout


@asynccontextmanager
async def served(
    listen: str, state: Path, snapshot: Callable[[], health.Snapshot], rollout: Rollout | None
) -> AsyncIterator[str]:
    """The pages while the block runs; gives their address, which a file in `state` tells to `status`.

    Raises:
        NoPages: `listen` cannot be listened on.
    """
    registry = CollectorRegistry()
    registry.register(GatewayMetrics(snapshot, rollout))

    def show_health() -> Page:
        troubles = health.troubles(snapshot())
        return health_page(troubles, health.unwell(troubles))

    def show_status() -> Page:
        return Page(json.dumps(health.status_row(snapshot())).encode(), "application/json")

    pages = Pages(
        {"/metrics": lambda: metrics_page(registry), "/healthz": show_health, "/status": show_status}
    )
    address = await pages.start(listen)
    try:
        files.write(state / ADDRESS_FILE, address.encode())
        yield address
    finally:
        pages.close()
        (state / ADDRESS_FILE).unlink(missing_ok=True)
