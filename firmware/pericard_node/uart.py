"""The serial link, over the USB port or a UART of the chip.

On the USB port MicroPython prints text (a banner, a traceback) before the first packet. The 0x00 that begins
a session ends that text, so that the gateway does not take it for a part of a frame.
"""

import select
import sys


class SerialLink:
    """Writes whole packets. A cable does not show whether anybody listens, so the link is always up."""

    # A chip's buffer for input: 260 bytes on the USB port, 256 on a UART. One call of `receive` reads no more
    # than that either, so that a line on which somebody sends without end delays the sensor only so long.
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
        """Writes a whole packet. A UART takes as much at once as its buffer has room for."""
        view = memoryview(packet)
        while view:
            view = view[self._out.write(view) or 0 :]
        return True

    def receive(self):
        """What has come in, at most 256 bytes; b"" where nothing has."""
        # One byte at a time, because a read of more would wait for all of them. Reading one byte allocates no
        # memory.
        count = 0
        while count < self.room and any(self._poll.ipoll(0)) and self._in.readinto(self._octet):
            self._received[count] = self._octet[0]
            count += 1
        return bytes(memoryview(self._received)[:count])

    def say(self, text):
        """Writes a line for a person; the gateway does not take it for a frame."""
        self._out.write(b"\r\npericard: " + text.encode() + b"\r\n\0")
