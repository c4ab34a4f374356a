"""A running gateway's status as a table for a terminal."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pericard_gateway.updates.state import UpdateState


def show(fetch: Callable[[], dict[str, Any]], *, once: bool) -> None:
    """Prints the status that `fetch` gives: once, or on a terminal every second until Ctrl-C."""
    console, found = Console(), fetch()
    if once or not console.is_terminal:
        console.print(_table(found))
        return
    with Live(_table(found), console=console, auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)
            live.update(_table(fetch()), refresh=True)


def _table(found: dict[str, Any]) -> Table:
    spool = found["spool"]
    table = Table(
        *("device", "received", "accepted", "rejected"),
        title=f"gateway {found['gateway']}: uplink {found['uplink']}",
        caption=f"rejected: {_reasons(found['rejected']) or 'none'}\n"
        f"waiting: {spool['records']} records, {spool['frames']} frames, {spool['bytes']} bytes\n"
        f"committed by the hospital: {found['acked_frames']} frames{_updates(found['updates'])}",
    )
    for device, counts in found["devices"].items():
        table.add_row(device, str(counts["received"]), str(counts["accepted"]), _reasons(counts["rejected"]))
    return table


def _updates(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    lines = [f"\nupdate {found['version']}:"]
    for device, one in found["devices"].items():
        percent = f" {one['percent']} %" if one["state"] == UpdateState.UPDATING else ""
        why = f" ({one['why']})" if one["why"] else ""
        lines.append(f"device {device} {one['state']}{percent}{why}")
    return "\n  ".join(lines)


def _reasons(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
