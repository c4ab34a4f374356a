"""The load that the benches of gateway and hospital are given: vitals, from one device after the other."""

import json
import os

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from pericard_protocol.device.frame import KEY_BYTES, FrameType, Header, seal_frame
from pericard_protocol.proto.uplink_pb2 import OpenedFrame

DEVICES = 32
_BOOT = 1
_START = 1_700_000_000  # Unix seconds


def vitals(index: int) -> bytes:
    """The payload of frame number `index`."""
    reading = {
        "age": 70,
        "heart_rate_bpm": 55 + index % 40 + 0.5,
        "sensor_id": f"ecg-{1 + index % DEVICES:08x}",
        "timestamp": _START + index,
    }
    return json.dumps(reading).encode()


def index_of(device: int, seq: int) -> int:
    """Which frame of the load has this device and sequence number."""
    return seq * DEVICES + device - 1


class SealedLoad:
    """Frames as devices seal them, and the devices' keys."""

    def __init__(self, frames: int) -> None:
        self.keys = {number: os.urandom(KEY_BYTES) for number in range(1, DEVICES + 1)}
        self.ciphers = {number: ChaCha20Poly1305(key) for number, key in self.keys.items()}
        self.frames = [self._frame(index) for index in range(frames)]

    def _frame(self, index: int) -> bytes:
        device = 1 + index % DEVICES
        header = Header(FrameType.VITALS, 0, device, _BOOT, index // DEVICES)
        return seal_frame(self.ciphers[device], header, vitals(index))


def opened_frames(count: int) -> list[OpenedFrame]:
    """The same frames as a gateway opens them."""
    return [
        OpenedFrame(
            device=1 + index % DEVICES,
            boot=_BOOT,
            seq=index // DEVICES,
            received_at_us=_START * 1_000_000 + index,
            type=FrameType.VITALS,
            payload=vitals(index),
        )
        for index in range(count)
    ]
