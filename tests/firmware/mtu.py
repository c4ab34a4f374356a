"""Sends packets over the BLE link at every MTU, to a radio that refuses some.

Argument: the firmware's folder.
"""

import sys

sys.path.insert(0, sys.argv[1])


class UUID:
    """An identifier."""

    def __init__(self, text):
        self.text = text


class BLE:
    """A radio that keeps what it was given; every seventh notification finds its buffers full."""

    calls = 0

    def active(self, on):
        """On."""

    def config(self, **_):
        """Anything."""

    def irq(self, handler):
        """Who is told of events."""
        self.tell = handler

    def gatts_register_services(self, services):
        """Two handles."""
        self.air = []
        return ((1, 2),)

    def gatts_set_buffer(self, *_):
        """Any size."""

    def gap_advertise(self, *_, **__):
        """Nobody listens."""

    def gatts_read(self, handle):
        """The gateway's first write."""
        return b"\0"

    def gatts_notify(self, connection, handle, data):
        """Into the air."""
        BLE.calls += 1
        if BLE.calls % 7 == 0:
            raise OSError(12)
        self.air.append(bytes(data))


class Bluetooth:
    """Stands in for the module."""

    UUID = UUID
    BLE = BLE


sys.modules["bluetooth"] = Bluetooth

from pericard_node.ble import BleLink  # noqa: E402 - it takes the radio from the module above

packets = [bytes([n % 255 + 1] * n) + b"\0" for n in (32, 19, 20, 21, 100, 244, 245, 515)]
for mtu in range(23, 248):
    link = BleLink()
    link._radio.tell(1, (5, 0, b""))
    link._radio.tell(21, (5, mtu))
    link.receive()
    for packet in packets:
        while not link.send(packet):
            pass
    air = link._radio.air
    assert b"".join(air) == b"\0" + b"".join(packets), mtu
    assert max(len(one) for one in air) == mtu - 3, mtu
print("every MTU from 23 to 247")
