"""The serial link: packets out over the USB port or a UART of the chip.

On the USB port MicroPython's own words (a banner, a traceback) come before the first packet; the 0x00 that
opens a session ends them, so that they spoil no frame.
"""

import sys


class SerialLink:
    """Writes whole packets."""

    def __init__(self, uart=None, baudrate=115200):
        """`uart` None is the USB port that the REPL is on, else the number of a UART."""
        if uart is None:
            self._stream = sys.stdout.buffer
        else:
            from machine import UART

            self._stream = UART(uart, baudrate)
        self._stream.write(b"\0")
        self._view = None
        self._viewed = None

    def send(self, packet, n):
        """Writes packet[:n]. A UART takes what its buffer has room for, so what is left is offered again."""
        if self._viewed is not packet:
            self._viewed = packet
            self._view = memoryview(packet)
        sent = 0
        while sent < n:
            sent += self._stream.write(self._view[sent:n]) or 0

    def say(self, text):
        """A line for a person; the gateway counts it as no frame."""
        self._stream.write(b"\r\npericard: " + text.encode() + b"\r\n\0")
