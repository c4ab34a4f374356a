"""The serial link: packets out over the USB port or a UART of the chip; what comes in is handed on.

On the USB port MicroPython's own words (a banner, a traceback) come before the first packet; the 0x00 that
opens a session ends them, so that they spoil no frame.
"""

import select
import sys


class SerialLink:
    """Writes whole packets. A cable says nothing of who listens, so it always counts as up."""

    # What a chip keeps of its input until it is read: 260 bytes on the REPL's port, 256 on a UART. So much
    # one call takes in, too, so that a flooded line holds the sensor up only so long.
    room = 256
    up = True

    def __init__(self, uart=None, baudrate=115200):
        """`uart` None is the USB port that the REPL is on, else the number of a UART."""
        if uart is None:
            self._out = sys.stdout.buffer
            self._in = sys.stdin.buffer
        else:
            from machine import UART

            self._out = self._in = UART(uart, baudrate)
        self._poll = select.poll()
        self._poll.register(self._in, select.POLLIN)
        self._octet = bytearray(1)
        self._received = bytearray(self.room)
        self._out.write(b"\0")

    def send(self, packet):
        """Writes a packet whole; a UART takes what its buffer has room for, the rest is offered again."""
        view = memoryview(packet)
        while view:
            view = view[self._out.write(view) or 0 :]
        return True

    def receive(self):
        """What has come in, at most 256 bytes; b"" where nothing has."""
        # An octet at a time, since a read of more would wait for it; and without an allocation for each.
        count = 0
        while count < self.room and any(self._poll.ipoll(0)) and self._in.readinto(self._octet):
            self._received[count] = self._octet[0]
            count += 1
        return bytes(memoryview(self._received)[:count])

    def say(self, text):
        """A line for a person; the gateway counts it as no frame."""
        self._out.write(b"\r\npericard: " + text.encode() + b"\r\n\0")
