"""Takes an update from the link, reports how far it has come, and bounds how long the sensor waits for it.

While an update comes in, the sensor is not read. Anybody in reach of the link can begin one, so an attempt is
ended when its sender is slow or late with the signature. After an attempt that failed, the node ignores the
link for nine times as long as the attempt took: whatever is sent, the sensor has nine tenths of the time.
Only an update that is signed right and newer may keep the sensor waiting for more than seconds.
"""

import time

from pericard_node import update

# A sender is slow when half of the link's buffer takes longer: a cable needs 11 ms for it, BLE some 100 ms.
_SLOW_MS = 2000
# A signature is late after this time. It and all before it have at most 4.1 KB: half a second on a cable, and
# under 5 s on BLE, where packets of 100 bytes or more are answered within 100 ms.
_UNSIGNED_MS = 5000
_REST = 9
_POLL_MS = 5


class Listener:
    """Hands what comes over the link to the receiver of updates."""

    def __init__(self, link, node):
        """`node` tells how far the update has come (`tell_position`), and sends status frames (`report`)."""
        self.receiver = update.Receiver()
        self._link = link
        self._node = node
        self._resting_until = None

    def position(self):
        """Bytes taken of the update under way; 0 where there is none, None on a node without update key."""
        return self.receiver.taken if self.receiver.takes_updates() else None

    def room(self):
        """How many bytes may be sent beyond `position`: the link's buffer, or 0 while the link is ignored."""
        if self._resting_until is not None and time.ticks_diff(time.ticks_ms(), self._resting_until) >= 0:
            self._resting_until = None
        rests = self.receiver.complete or self._resting_until is not None
        return self._link.room if self.receiver.takes_updates() and not rests else 0

    def listen(self, patience_ms):
        """Waits up to `patience_ms` for bytes; where they begin an update, takes the whole of it."""
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
        if self.receiver.has_begun():
            self._hear(began)

    def _hear(self, began):
        """Takes the update that has begun, until it is complete or refused."""
        receiver = self.receiver
        told, told_at, signed = 0, began, False
        while receiver.has_begun():
            now = time.ticks_ms()
            if receiver.taken - told >= self._link.room // 2 or receiver.has_verified() != signed:
                told, told_at, signed = receiver.taken, now, receiver.has_verified()
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
