"""The device link's core: bytes of one port in, opened frames and rejections out. No I/O, no clock.

Nothing that a port delivers raises here, and garbage costs the memory of one frame.
"""

from collections.abc import Callable

from pericard_gateway.devices.registry import Registry
from pericard_gateway.operations.counts import GatewayCounts
from pericard_protocol.device.frame import FrameType
from pericard_protocol.device.stream import StreamDecoder
from pericard_protocol.device.vitals import parse_vitals
from pericard_protocol.errors import PeerError
from pericard_protocol.proto.uplink_pb2 import OpenedFrame


class Link:
    """One port's stream; the registry and the counts are shared by all ports."""

    def __init__(
        self, registry: Registry, counts: GatewayCounts, on_status: Callable[[int, bytes], None] | None = None
    ) -> None:
        """`on_status` is called with the device and payload of every accepted status frame."""
        self._registry, self._counts, self._on_status = registry, counts, on_status
        self._decoder = StreamDecoder()

    def feed(self, data: bytes, received_at_us: int) -> tuple[list[OpenedFrame], list[PeerError]]:
        """The frames that `data` completes, opened, and why others were rejected; all are counted.

        `received_at_us` is in Unix microseconds. Payload bytes stay as the device wrote them.
        """
        counts, open_ = self._counts, self._registry.open
        counts.bytes_in += len(data)
        opened: list[OpenedFrame] = []
        rejected: list[PeerError] = []
        for frame in self._decoder.feed(data):
            if isinstance(frame, PeerError):
                counts.reject(frame.reason, None)
                rejected.append(frame)
                continue
            kind, epoch, device, boot, seq = frame.header
            try:
                payload = open_(frame)
                if kind is FrameType.VITALS:
                    parse_vitals(payload)
            except PeerError as error:
                counts.reject(error.reason, device if device in self._registry else None)
                rejected.append(error)
                continue
            counts.accept(device)
            if kind is FrameType.STATUS and self._on_status is not None:
                self._on_status(device, payload)
            opened.append(
                OpenedFrame(
                    device=device,
                    epoch=epoch,
                    boot=boot,
                    seq=seq,
                    received_at_us=received_at_us,
                    type=kind,
                    payload=payload,
                )
            )
        return opened, rejected
