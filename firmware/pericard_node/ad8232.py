"""The AD8232 single-lead ECG front end: its output on an ADC pin, its two leads-off outputs on two more."""

import time

from machine import ADC, Pin

# The wiring in hardware.md uses these pins.
OUTPUT_PIN = 34
LEADS_OFF_PINS = (32, 33)

# Samples a second. The front end passes up to 40 Hz, and the time of a beat is right to 4 ms.
RATE = 250
_PERIOD_US = 1000000 // RATE


class AD8232:
    """A source of samples: the ADC's 16 bits with the middle at zero; 0 while an electrode is off."""

    rate = RATE

    def __init__(self):
        """Takes the pins."""
        self._adc = ADC(Pin(OUTPUT_PIN))
        if hasattr(ADC, "ATTN_11DB"):
            self._adc.atten(ADC.ATTN_11DB)  # measures the whole range of the front end's 3.3 V
        self._off = [Pin(number, Pin.IN) for number in LEADS_OFF_PINS]
        self._due = time.ticks_us()

    def read_into(self, samples):
        """Fills `samples`, one every 4 ms; a sample that is late does not delay those after it."""
        for i in range(len(samples)):
            self._due = time.ticks_add(self._due, _PERIOD_US)
            wait = time.ticks_diff(self._due, time.ticks_us())
            if wait > 0:
                time.sleep_us(wait)
            elif wait < -1000000:
                # Over a second late, because the link held the node up: those samples are not made up for.
                self._due = time.ticks_us()
            off = self._off[0].value() or self._off[1].value()
            samples[i] = 0 if off else self._adc.read_u16() - 32768
