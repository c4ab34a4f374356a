"""A `bluetooth` for the BLE link's own tests: a radio that keeps what it was given. Import it first."""

import sys


class UUID:
    """An identifier."""

    def __init__(self, text):
        self.text = text


class BLE:
    """Notifications stand in `air`; it takes `room` more, and refuses what comes after them."""

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
        self.room = 1000000
        self.advertised = 0
        return ((1, 2),)

    def gatts_set_buffer(self, *_):
        """Any size."""

    def gap_advertise(self, *_, **__):
        """Counted."""
        self.advertised += 1

    def gatts_read(self, handle):
        """The gateway's first write."""
        return b"\0"

    def gatts_notify(self, connection, handle, data):
        """Into the air."""
        if not self.room:
            raise OSError(12)
        self.room -= 1
        self.air.append(bytes(data))


class Bluetooth:
    """Stands in for the module."""

    UUID = UUID
    BLE = BLE


sys.modules["bluetooth"] = Bluetooth
