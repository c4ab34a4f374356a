"""The virtual board's `bluetooth`: MicroPython's BLE as a peripheral, its radio at the other end of a socket.

Lines of JSON go over `radio`, a socket that bootstrap.py sets. Whoever has its other end is the air: in tests
a simulated controller. The firmware gets its events when it calls a function of this module.
"""

import json
import select
from binascii import hexlify, unhexlify

radio = None

# As many notifications as a chip's radio keeps until they are across (see pericard_node/ble.py).
_BLOCKS = 36
_CONNECTED = 1
_DISCONNECTED = 2
_WRITTEN = 3
_MTU_EXCHANGED = 21


class UUID:
    """A 128-bit identifier as text."""

    def __init__(self, text):
        self.text = text


class BLE:
    """What pericard_node/ble.py uses of it."""

    def __init__(self):
        if radio is None:
            raise OSError(19)  # ENODEV: this board was given no radio
        self._poll = select.poll()
        self._poll.register(radio, select.POLLIN)
        self._handler = None
        self._values = {}
        self._room = {}
        self._kept = 0

    def active(self, on):
        """Switches the radio on or off."""
        self._tell(active=on)

    def config(self, mtu):
        """The MTU to agree to."""
        self._tell(mtu=mtu)

    def irq(self, handler):
        """Who is told of events."""
        self._handler = handler

    def gatts_register_services(self, services):
        """Handles of the characteristics, numbered as they come."""
        handles, described, number = [], [], 1
        for service, characteristics in services:
            numbers = []
            for _ in characteristics:
                self._values[number] = b""
                numbers.append(number)
                number += 1
            handles.append(tuple(numbers))
            described.append([service.text, [[uuid.text, flags] for uuid, flags in characteristics]])
        self._tell(register=described)
        return tuple(handles)

    def gatts_set_buffer(self, handle, length, append):
        """How much a value holds, and that writes are added up until it is read."""
        self._room[handle] = length

    def gap_advertise(self, interval_us, adv_data=None):
        """Advertises."""
        self._tell(advertise=hexlify(adv_data).decode())

    def gatts_notify(self, connection, handle, data):
        """Notifies `data`; raises OSError where the radio keeps too much already."""
        self._deliver()
        if self._kept == _BLOCKS:
            raise OSError(12)  # ENOMEM
        self._kept += 1
        self._tell(notify=[connection, handle, hexlify(data).decode()])

    def gatts_read(self, handle):
        """The value, emptied where writes are added up."""
        self._deliver()
        value = self._values[handle]
        if handle in self._room:
            self._values[handle] = b""
        return value

    def _tell(self, **what):
        radio.write(json.dumps(what).encode() + b"\n")

    def _deliver(self):
        while self._poll.poll(0):
            line = radio.readline()
            if not line:
                return
            for what, given in json.loads(line).items():
                self._event(what, given)

    def _event(self, what, given):
        if what == "connected":
            self._handler(_CONNECTED, (given, 0, b""))
        elif what == "disconnected":
            self._handler(_DISCONNECTED, (given, 0, b""))
        elif what == "across":
            self._kept -= given
        elif what == "mtu":
            self._handler(_MTU_EXCHANGED, tuple(given))
        elif what == "written":
            connection, handle, data = given
            # As the chip's: what goes beyond the buffer is lost.
            value = self._values[handle] + unhexlify(data)
            self._values[handle] = value[: self._room.get(handle, 20)]
            self._handler(_WRITTEN, (connection, handle))
