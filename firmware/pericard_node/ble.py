"""The BLE link: the Nordic UART service, a byte stream in notifications of ATT_MTU - 3 bytes.

The link is up from the gateway's first write on. A gateway writes once it has subscribed, so no notification
is sent that nobody receives. A session begins with 0x00, as on a cable, and with the last packets of the
session before: some of them may not have been sent when the connection was lost. BLE's own pairing is not
used, as frames are sealed already.
"""

import bluetooth
from micropython import const

_CONNECTED = const(1)
_DISCONNECTED = const(2)
_WRITTEN = const(3)
_MTU_EXCHANGED = const(21)

_SERVICE = bluetooth.UUID("6E400001-B5A3-F393-E0A9-E50E24DCCA9E")
# The gateway writes to RX, with or without a response (0x0008, 0x0004); the node notifies through TX
# (0x0010).
_RX = (bluetooth.UUID("6E400002-B5A3-F393-E0A9-E50E24DCCA9E"), 0x0008 | 0x0004)
_TX = (bluetooth.UUID("6E400003-B5A3-F393-E0A9-E50E24DCCA9E"), 0x0010)
# Flags (general discoverable, no classic Bluetooth), then the service's 128-bit id, least byte first.
_ADVERTISEMENT = b"\x02\x01\x06\x11\x07" + bytes.fromhex("9ecadc240ee5a9e093f3a3b50100406e")
_ADVERTISE_US = const(250000)
_SMALLEST_MTU = const(23)  # what every peer takes (Bluetooth Core 5.4, Vol 3, Part F, 3.2.8)
_LARGEST_MTU = const(247)  # fills one link-layer packet of 251 bytes
# How many packets, and bytes, are kept to be sent again in the next session. The radio (NimBLE) holds one
# notification in each of its blocks, of which ESP-IDF gives it 12 and 24, and refuses more. So at most 36
# packets can be lost with a connection: in bytes, 36 notifications of the largest size. The gateway's replay
# window drops those packets that came through.
_RECENT = const(36)
_RECENT_BYTES = const(8784)  # 36 of 247 - 3


class BleLink:
    """One central at a time: the gateway."""

    # The buffer for what the gateway writes: four writes of the largest size, 244 bytes. Two are in the air
    # while the answer to the other two is on its way. A larger buffer would make nothing faster, because each
    # write waits for its answer, and the heap has some 110 KB only.
    room = 1024

    def __init__(self):
        """Switches the radio on and advertises."""
        self._mtu = _SMALLEST_MTU
        self._connection = None
        self.up = False
        self._sent = 0  # bytes already sent of the packet that is being sent
        self._recent = []
        self._recent_bytes = 0
        self._again = []
        self._radio = bluetooth.BLE()
        # The radio is switched off first: after a crash of the application a connection may be left, and no
        # event would tell of it.
        self._radio.active(False)
        self._radio.active(True)
        self._radio.config(mtu=_LARGEST_MTU)
        self._radio.irq(self._on)
        ((self._tx, self._rx),) = self._radio.gatts_register_services(((_SERVICE, (_TX, _RX)),))
        self._radio.gatts_set_buffer(self._rx, self.room, True)
        self._advertise()

    def send(self, packet):
        """Notifies a packet whole; False where the link is down or the radio's buffers are full."""
        if not self.up:
            return False
        while self._again:
            if not self._notify(self._again[0]):
                return False
            self._again.pop(0)
        if not self._notify(packet):
            return False
        self._recent.append(bytes(packet))
        self._recent_bytes += len(packet)
        while len(self._recent) > _RECENT or self._recent_bytes > _RECENT_BYTES:
            self._recent_bytes -= len(self._recent.pop(0))
        return True

    def _notify(self, packet):
        view = memoryview(packet)
        while self.up and self._sent < len(packet):
            chunk = view[self._sent : self._sent + self._mtu - 3]
            try:
                self._radio.gatts_notify(self._connection, self._tx, chunk)
            except OSError:
                return False  # the buffers are full, or the connection has just ended: the rest waits
            self._sent += len(chunk)
        if not self.up:
            return False
        self._sent = 0
        return True

    def receive(self):
        """What the gateway wrote since the last call. Its first write of a session brings the link up."""
        written = self._radio.gatts_read(self._rx)
        if written and not self.up and self._connection is not None:
            self._sent = 0
            self._again = [b"\0"] + self._recent
            self.up = True
            return b""
        return written

    def say(self, text):
        """Prints a line for a person on the USB port: over the air nobody reads one."""
        print("pericard:", text)

    def _on(self, event, data):
        if event == _CONNECTED:
            self._connection = data[0]
        elif event == _DISCONNECTED and data[0] == self._connection:
            self._connection = None
            self.up = False
            self._mtu = _SMALLEST_MTU
            self._advertise()
        elif event == _MTU_EXCHANGED:
            self._mtu = min(data[1], _LARGEST_MTU)

    def _advertise(self):
        self._radio.gap_advertise(_ADVERTISE_US, adv_data=_ADVERTISEMENT)
