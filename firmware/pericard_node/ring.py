"""Sealed packets that wait for the link, in order; where there is no room left, the oldest are dropped.

Packets are never sealed again: the nonce of each is used up, so it is sent as it is or never.
"""


class Ring:
    """At most `room` bytes of packets."""

    def __init__(self, room):
        """`dropped` counts the packets that were dropped."""
        self._room = room
        self._packets = []
        self._bytes = 0
        self.dropped = 0

    def __len__(self):
        return len(self._packets)

    def push(self, packet):
        """Takes a copy of a packet."""
        self._packets.append(bytes(packet))
        self._bytes += len(packet)
        while self._bytes > self._room:
            self._bytes -= len(self._packets.pop(0))
            self.dropped += 1

    def drain(self, send):
        """Gives `send` one packet after another for as long as it returns True."""
        while self._packets and send(self._packets[0]):
            self._bytes -= len(self._packets.pop(0))
