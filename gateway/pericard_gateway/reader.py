"""Takes the bytes of a port, and gives the frames that they hold, opened, to the intake.

The way of a frame, module by module: ports/ reads its bytes. reader.py, here, gives them to devices/link.py,
which finds the frame and opens it, with the key from devices/registry.py and if devices/window.py finds it
fresh. uplink/intake.py gathers opened frames into batches. uplink/outbox.py seals each batch and commits it
to the disk. uplink/delivery.py brings it to the hospital.
"""

import logging
import time

from pericard_edge.jsonlog import fields
from pericard_gateway.devices.link import Link
from pericard_gateway.devices.registry import Registry
from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.updates.updater import Updater
from pericard_gateway.uplink.intake import Intake
from pericard_protocol.errors import PeerError

_log = logging.getLogger("pericard.gateway")


class FrameReader:
    """The reader of one port."""

    def __init__(
        self,
        port: str,
        registry: Registry,
        intake: Intake,
        counts: GatewayCounts,
        updater: Updater | None = None,
    ) -> None:
        """`port` names it in the log; `updater` brings updates to the devices on it."""
        self._port, self._registry, self._intake, self._counts = port, registry, intake, counts
        self._updater = updater
        self._link = self._new_link()

    def connected(self) -> None:
        """Begins a new stream: the rest of a frame, or of an update, that was cut off will not come."""
        if self._updater is not None:
            self._updater.connected()
        self._link = self._new_link()

    def take(self, data: bytes) -> None:
        """Opens the frames that `data` completes and gives them to the intake."""
        with self._counts.stage("open"):
            opened, rejected = self._link.feed(data, time.time_ns() // 1000)
            if opened:
                self._intake.add(opened)
            for error in rejected:
                self._log_rejection(error)

    def _new_link(self) -> Link:
        on_status = None if self._updater is None else self._updater.on_status
        return Link(self._registry, self._counts, on_status)

    def _log_rejection(self, error: PeerError) -> None:
        count = self._counts.rejected[error.reason]
        # Logged are the 1st, 2nd, 4th, 8th, … of a reason, so that a flood of junk does not flood the log.
        if count & (count - 1) == 0:
            about = fields(port=self._port, reason=error.reason, count=count, why=str(error))
            _log.warning("rejected", extra=about)
