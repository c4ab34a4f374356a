"""The loop: read, seal, send. Everything that it needs is made once, before the first frame."""

import gc
import json
import time

from pericard_node import frame, sensor, settings, uart
from pericard_node.counter import NeedsProvisioning, take_boot
from pericard_node.keystore import Keystore

# A board whose clock was never set starts in its epoch's year; firmware of this year cannot run before it.
_CLOCK_IS_SET_FROM = 2025


class Node:
    """A provisioned node between its sensor and its link."""

    def __init__(self, keystore, boot, sensor, link, sensor_id=None):
        """`boot` is durable already (counter.take_boot)."""
        self._keystore = keystore
        self._boot = boot
        self._sensor = sensor
        self._link = link
        self._sensor_id = sensor_id or f"ecg-{keystore.device:08x}"
        self._sealer = frame.FrameSealer(keystore.key, keystore.device, keystore.epoch, boot)
        self._offset = clock(keystore.clock)
        self._epoch_began_at_seq = 0

    def step(self):
        """One reading, sealed and sent."""
        elapsed, heart_rate = self._sensor.read()
        self._keep_epoch()
        payload = json.dumps(
            {
                "age": self._keystore.age,
                "heart_rate_bpm": heart_rate,
                "sensor_id": self._sensor_id,
                # Seconds of the sensor's own time, and the clock at the start: see `clock`.
                "timestamp": self._offset + elapsed,
            }
        ).encode()
        self.send(frame.VITALS, payload)

    def send(self, kind, payload):
        """Seals and sends `payload`; a boot number that is used up is replaced by the next."""
        self._sealer.payload[: len(payload)] = payload
        try:
            n = self._sealer.seal(kind, len(payload))
        except frame.SequenceEnd:
            self._boot = take_boot()
            store = self._keystore
            self._sealer = frame.FrameSealer(store.key, store.device, store.epoch, self._boot)
            return self.send(kind, payload)
        self._link.send(self._sealer.packet, n)

    def _keep_epoch(self):
        now = clock(self._keystore.clock)
        if self._keystore.epoch_is_over(self._sealer.seq - self._epoch_began_at_seq, now, self._boot):
            self._keystore.advance(now, self._boot)
            self._epoch_began_at_seq = self._sealer.seq
            self._sealer.rekey(self._keystore.key, self._keystore.epoch)


def clock(provisioned):
    """Unix seconds: the board's clock, or, where nobody set that since power came, the time of provisioning.

    In the second case timestamps are right relative to each other but early; the order of frames never
    rests on them.
    """
    if time.gmtime()[0] < _CLOCK_IS_SET_FROM:
        return provisioned
    # MicroPython counts from 2000 on an ESP32 and from 1970 on unix.
    return int(time.time()) + (946684800 if time.gmtime(0)[0] == 2000 else 0)


def main():
    """Runs for as long as the board does; without its key or counter it says so and sends nothing."""
    chosen = settings.load()
    link = uart.SerialLink(chosen["UART"], chosen["BAUDRATE"])
    try:
        keystore = Keystore()
        source = sensor.open_sensor(chosen["SENSOR"])
        node = Node(keystore, take_boot(), source, link, chosen["SENSOR_ID"])
        gc.collect()
        while True:
            node.step()
    except NeedsProvisioning as error:
        link.say(f"needs provisioning: {error}")
