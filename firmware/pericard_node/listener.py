"""Hears an update from the link, telling how far it has come, and bounds how long the sensor waits for it.

While an update comes the sensor is not read: that takes seconds, and ends in a restart. Anybody in reach can
begin one, so an attempt ends when its sender is slow, or late with its signature; and after one that was no
update the node hears nothing for nine times as long as the sensor waited. Whoever sends what, nine tenths of
the time are the sensor's. Only an update that is signed, and newer, may take more than seconds at a stretch.
"""

import time

from pericard_node import update

# Half of the link's room must come in this time: it takes 11 ms on a cable and some hundred on BLE.
_SLOW_MS = 2000
# Until then the signature: with all before it at most 4.1 KB, which take half a second on a cable, and under
# 5 s on BLE where packets of 100 bytes or more are answered in 100 ms.
_UNSIGNED_MS = 5000
_REST = 9
_POLL_MS = 5


class Listener:
    """Feeds what comes over the link to an update's receiver."""

    def __init__(self, link, node):
        """`node` says for it how far the update has come (`tell_position`), and how it is (`report`)."""
        self.receiver = update.Receiver()
        self._link = link
        self._node = node
        self._resting_until = None

    def position(self):
        """Bytes taken of the update under way, 0 where there is none; None on a node that takes none."""
        return self.receiver.taken if self.receiver.willing() else None

    def room(self):
        """How many bytes may come beyond `position`: what the link's buffer holds; 0 while at rest."""
        if self._resting_until is not None and time.ticks_diff(time.ticks_ms(), self._resting_until) >= 0:
            self._resting_until = None
        rests = self.receiver.complete or self._resting_until is not None
        return self._link.room if self.receiver.willing() and not rests else 0

    def listen(self, patience_ms):
        """Takes what has come or comes within `patience_ms`, and if that begins an update, all of it."""
        began = time.ticks_ms()
        while not (data := self._link.receive()):
            if time.ticks_diff(time.ticks_ms(), began) >= patience_ms:
                return
            time.sleep_ms(_POLL_MS)
        if not self.room():
            self.receiver.rejected += 1
            return
        began = time.ticks_ms()
        self.receiver.feed(data)
        if self.receiver.busy():
            self._hear(began)

    def _hear(self, began):
        """Takes the update that has begun to its end, good or bad."""
        receiver = self.receiver
        told, told_at, signed = 0, began, False
        while receiver.busy():
            now = time.ticks_ms()
            if receiver.taken - told >= self._link.room // 2 or receiver.verified() != signed:
                told, told_at, signed = receiver.taken, now, receiver.verified()
                self._node.tell_position()
            elif (
                not self._link.up
                or time.ticks_diff(now, told_at) > _SLOW_MS
                or (not signed and time.ticks_diff(now, began) > _UNSIGNED_MS)
            ):
                receiver.refuse()
            elif data := self._link.receive():
                receiver.feed(data)
            else:
                self._node.flush()
                time.sleep_ms(_POLL_MS)
        if not receiver.complete:
            held = time.ticks_diff(time.ticks_ms(), began)
            self._resting_until = time.ticks_add(time.ticks_ms(), _REST * held)
            self._node.report()
