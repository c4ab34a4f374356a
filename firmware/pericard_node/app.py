"""The node's loop: read the sensor, seal, send, sleep. All buffers are made once, before the first frame."""

import gc
import json
import time
from struct import pack_into

from pericard_node import frame, power, reading, settings, trial
from pericard_node.counter import NeedsProvisioning, take_boot
from pericard_node.keystore import Keystore
from pericard_node.listener import Listener
from pericard_node.ring import Ring
from pericard_node.sensor import open_sensor

# A board whose clock was never set starts in its epoch's year; firmware of this year cannot run before it.
_CLOCK_IS_SET_FROM = 2025
# How long the node waits before the chip stops. The radio sends what it has taken, which needs some intervals
# of at most 50 ms; a gateway that has read the last status may begin an update.
_SETTLE_MS = 500


class Node:
    """A provisioned node between its sensor and its link."""

    def __init__(self, keystore, boot, source, link, chosen, alive):
        """`boot` is durable already (counter.take_boot); `alive` feeds the watchdog."""
        self._keystore = keystore
        self._boot = boot
        self._sensor = source
        self._link = link
        self._chosen = chosen
        self._sensor_id = chosen.SENSOR_ID or f"ecg-{keystore.device:08x}"
        self._sealer = frame.FrameSealer(keystore.key, keystore.device, keystore.epoch, boot)
        self._ring = Ring(chosen.RING_BYTES)
        self._offset = clock(keystore.clock)
        self._epoch_began_at_seq = 0
        self._alive = alive
        self._listener = Listener(link, self)
        self._now = time.ticks_ms()
        self._status_due = time.ticks_add(self._now, chosen.STATUS_SECONDS * 1000)
        self._uptime_ms = 0
        self.readings = 0

    def step(self):
        """Sends one reading or block, or keeps it while the link is down; and a status where one is due."""
        found = self._sensor.read()
        self._keep_epoch()
        if isinstance(found, reading.Reading):
            self.readings += 1
            self._send_json(frame.VITALS, self._vitals(found))
        elif isinstance(found, reading.Block):
            self._send(frame.WAVEFORM, self._lay_block(found))
        now = time.ticks_ms()
        # Summed up step by step, because the millisecond clock starts over every few days.
        self._uptime_ms += time.ticks_diff(now, self._now)
        self._now = now
        if time.ticks_diff(now, self._status_due) >= 0:
            self.report()
        # A node takes signed updates only. Whatever else comes is counted, and a status tells the count.
        self._listener.listen(0)
        self._alive()

    def has_update(self):
        """Whether an update waits: the next start is of newer firmware."""
        return self._listener.receiver.complete

    def has_proved_itself(self):
        """Whether this start has shown that the firmware works: it made frames and has sent all of them."""
        return self._sealer.seq > 0 and self.settle()

    def trial_is_over(self):
        """Whether a start on trial has run for so long that it counts as failed."""
        return self._uptime_ms > trial.SECONDS * 1000

    def settle(self):
        """Sends what waits and listens once more; whether the chip may stop, because nothing waits."""
        if not self.flush():
            return False
        self._listener.listen(_SETTLE_MS)
        return self.flush()

    def tell_position(self):
        """Sends a short status frame that lets the update's sender go on."""
        self._alive()
        gc.collect()  # an update's pieces are large beside the longest free piece of memory
        self._send_json(frame.STATUS, self._update_status())

    def report(self):
        """Sends a status frame; the next is due when STATUS_SECONDS have passed."""
        self._status_due = time.ticks_add(self._now, self._chosen.STATUS_SECONDS * 1000)
        self._send_json(frame.STATUS, self._status())

    def flush(self):
        """Sends what waits for as long as the link takes it; returns whether nothing is left."""
        self._ring.drain(self._link.send)
        return not len(self._ring)

    def _vitals(self, found):
        return {
            "age": self._keystore.age,
            "heart_rate_bpm": found.heart_rate_bpm,
            "sensor_id": self._sensor_id,
            # Seconds of the sensor's own time, and the clock at the start: see `clock`.
            "timestamp": self._offset + found.seconds,
        }

    def _update_status(self):
        listener = self._listener
        return {
            "version": listener.receiver.version,
            "update": listener.position(),
            "room": listener.room(),
        }

    def _status(self):
        gc.collect()
        status = {
            "battery_volts": power.battery_volts(self._chosen.BATTERY_PIN, self._chosen.BATTERY_DIVIDER),
            "uptime_seconds": self._uptime_ms // 1000,
            "free_bytes": gc.mem_free(),
            "rejected_commands": self._listener.receiver.rejected,
            "rejected_beats": self._sensor.rejected,
            "dropped_frames": self._ring.dropped,
            "reset_cause": power.reset_cause(),
            "failed_version": self._listener.receiver.failed,
        }
        status.update(self._update_status())
        return status

    def _lay_block(self, block):
        """A block's payload: u32 number of its first sample, u16 samples a second, u16 how many, i16 each."""
        payload = self._sealer.payload
        count = len(block.samples)
        pack_into(">IHH", payload, 0, block.first & 0xFFFFFFFF, block.rate, count)
        for i in range(count):
            payload[8 + 2 * i] = block.samples[i] >> 8 & 255
            payload[9 + 2 * i] = block.samples[i] & 255
        return 8 + 2 * count

    def _send_json(self, kind, table):
        payload = json.dumps(table).encode()
        self._sealer.payload[: len(payload)] = payload
        self._send(kind, len(payload))

    def _send(self, kind, n):
        """Seals the payload's first n bytes; sends the packet after those that wait, or lets it wait too."""
        try:
            length = self._sealer.seal(kind, n)
        except frame.SequenceEnd:
            self._start_boot_number()
            return self._send(kind, n)
        self._ring.push(memoryview(self._sealer.packet)[:length])
        self.flush()

    def _start_boot_number(self):
        # As at a start, the number is durable before the first frame that uses it.
        self._boot = take_boot()
        payload = bytes(self._sealer.payload)
        self._sealer = frame.FrameSealer(
            self._keystore.key, self._keystore.device, self._keystore.epoch, self._boot
        )
        self._sealer.payload[:] = payload

    def _keep_epoch(self):
        now = clock(self._keystore.clock)
        if self._keystore.epoch_is_over(self._sealer.seq - self._epoch_began_at_seq, now, self._boot):
            self._keystore.advance(now, self._boot)
            self._epoch_began_at_seq = self._sealer.seq
            self._sealer.rekey(self._keystore.key, self._keystore.epoch)


def clock(provisioned):
    """Unix seconds: the board's clock, or, where nobody set that since power came, the time of provisioning.

    In the second case timestamps are too early, though right relative to each other. Nothing decides the
    order of frames by them.
    """
    if time.gmtime()[0] < _CLOCK_IS_SET_FROM:
        return provisioned
    # MicroPython counts from 2000 on an ESP32 and from 1970 on unix.
    return int(time.time()) + (946684800 if time.gmtime(0)[0] == 2000 else 0)


def open_link(chosen):
    """The link that the settings name."""
    if chosen.LINK == "ble":
        from pericard_node.ble import BleLink

        return BleLink()
    from pericard_node.uart import SerialLink

    return SerialLink(None if chosen.LINK == "usb" else chosen.LINK, chosen.BAUDRATE)


def main():
    """Runs for as long as the board does; without its key or counter it says so and sends nothing."""
    chosen = settings.load()
    on_trial = trial.on_trial()
    # During a trial boot.py has started a watchdog: it must be fed from here on, whatever the settings say.
    watchdog = power.Watchdog(chosen.WATCHDOG_SECONDS or (trial.SECONDS if on_trial else 0))
    try:
        link = open_link(chosen)
        try:
            keystore = Keystore()
            gc.collect()  # compiling the sensor's modules needs what compiling the others has left as garbage
            source = open_sensor(chosen)
            node = Node(keystore, take_boot(), source, link, chosen, watchdog.feed)
            gc.collect()
            while True:
                node.step()
                if on_trial and node.has_proved_itself():
                    trial.accept()
                    on_trial = False
                elif on_trial and node.trial_is_over():
                    power.restart()
                tired = chosen.SLEEP_SECONDS and node.readings >= chosen.READINGS_A_WAKE
                if tired:
                    node.report()
                if (tired or node.has_update()) and node.settle():
                    # A restart loses what waits in the ring, so the update waits until all is sent.
                    if node.has_update():
                        power.restart()
                    power.sleep_deeply(chosen.SLEEP_SECONDS)
        except NeedsProvisioning as error:
            link.say(f"needs provisioning: {error}")
            watchdog.leave_to_operator()
    except KeyboardInterrupt:
        watchdog.leave_to_operator()
        raise
