"""The MAX30102 pulse sensor over I2C: infrared light that a finger or an ear gives back, 100 times a second.

Registers and values are the data sheet's (Maxim Integrated, 19-7740). More blood gives less light back, so
the samples are negated: then a pulse points up, as `ppg.py` expects it.
"""

import time

from machine import I2C, Pin

# The wiring in hardware.md uses these pins.
SCL_PIN = 22
SDA_PIN = 21

ADDRESS = 0x57
PART_ID = 0x15
_FIFO_WRITE = 0x04
_FIFO_READ = 0x06
_FIFO_DATA = 0x07
_FIFO_CONFIG = 0x08
_MODE = 0x09
_SPO2_CONFIG = 0x0A
_LED_INFRARED = 0x0D
_PART = 0xFF

RATE = 100
_DEPTH = 32  # samples that the chip's memory holds
_SAMPLE_BYTES = 6  # red and infrared, 18 bits each in 3 bytes
_POLL_MS = 40  # in 40 ms come four samples; the chip's memory is full after 320 ms


class MAX30102:
    """A source of 16-bit samples: the light without its slow changes."""

    rate = RATE

    def __init__(self, i2c=None):
        """Checks that the sensor is there, and starts it. Raises OSError where another or none is."""
        self._i2c = i2c or I2C(0, scl=Pin(SCL_PIN), sda=Pin(SDA_PIN), freq=400000)
        if self._read(_PART, 1)[0] != PART_ID:
            raise OSError("the I2C device at 0x57 is not a MAX30102: check the wiring in hardware.md")
        self._write(_MODE, 0x40)  # reset
        time.sleep_ms(10)
        self._write(_FIFO_CONFIG, 0x10)  # no averaging; in a full memory new samples replace the oldest
        self._write(_SPO2_CONFIG, 0x27)  # 4096 nA range, 100 samples a second, 411 us pulses: 18 bits
        self._write(_LED_INFRARED, 0x24)  # 7 mA
        self._write(_MODE, 0x03)  # red and infrared
        self._level = None

    def read_into(self, samples):
        """Fills `samples`, waiting for the chip to take them."""
        filled = 0
        while filled < len(samples):
            waiting = (self._read(_FIFO_WRITE, 1)[0] - self._read(_FIFO_READ, 1)[0]) % _DEPTH
            count = min(waiting, len(samples) - filled)
            if not count:
                time.sleep_ms(_POLL_MS)
                continue
            data = self._read(_FIFO_DATA, _SAMPLE_BYTES * count)
            for at in range(3, len(data), _SAMPLE_BYTES):
                light = (data[at] & 3) << 16 | data[at + 1] << 8 | data[at + 2]
                samples[filled] = self._wave(light)
                filled += 1

    def _wave(self, light):
        # The pulse is about 1 % of the light. The running mean is subtracted, and what is left fits 16 bits.
        if self._level is None:
            self._level = light << 6
        self._level += light - (self._level >> 6)
        return max(-32768, min(32767, (self._level >> 6) - light))

    def _read(self, register, n):
        return self._i2c.readfrom_mem(ADDRESS, register, n)

    def _write(self, register, value):
        self._i2c.writeto_mem(ADDRESS, register, bytes((value,)))
