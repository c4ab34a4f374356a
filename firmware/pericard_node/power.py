"""The chip's watchdog, reset cause, battery and deep sleep, where the board has them."""

import machine

# After Ctrl-C the operator works on the board. An ESP32's watchdog cannot be stopped, but given more time.
_OPERATOR_MS = 3600 * 1000


class Watchdog:
    """Resets the board when the application has not fed it for `seconds`; 0 is none."""

    def __init__(self, seconds):
        """Starts it."""
        self._dog = machine.WDT(timeout=seconds * 1000) if seconds and hasattr(machine, "WDT") else None

    def feed(self):
        """Says that the application is alive."""
        if self._dog is not None:
            self._dog.feed()

    def leave_to_operator(self):
        """Gives the operator who interrupted the application an hour before the board resets."""
        if self._dog is not None:
            self._dog = machine.WDT(timeout=_OPERATOR_MS)


def reset_cause():
    """Why the chip started, as machine.reset_cause says it; None where it does not."""
    return machine.reset_cause() if hasattr(machine, "reset_cause") else None


def battery_volts(pin, divider):
    """The battery's voltage on an ADC pin behind a resistor divider; None where no pin is wired."""
    if pin is None:
        return None
    adc = machine.ADC(pin)
    if hasattr(adc, "atten"):
        adc.atten(adc.ATTN_11DB)  # an ESP32's ADC otherwise ends at 1 V
    return round(adc.read_uv() / 1000000 * divider, 2)


def restart():
    """Starts the chip again from boot.py."""
    machine.reset()


def sleep_deeply(seconds):
    """Switches the chip off but for its clock; it starts again from boot.py after `seconds`."""
    machine.deepsleep(seconds * 1000)
