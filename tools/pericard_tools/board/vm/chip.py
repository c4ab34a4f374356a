"""The virtual board's `machine`: that of MicroPython's unix port, and what only a chip has.

A hard reset ends the whole processor, so it is asked of the board over `control`, which bootstrap.py sets.
"""

import time

from machine import *

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

# Set by bootstrap.py: where the board is told, and why the processor started.
control = None
cause = PWRON_RESET


def tell(*words):
    """A line to the board: what pericard_tools/board/virtual.py understands."""
    control.write(" ".join(str(word) for word in words) + "\n")


def reset_cause():
    """One of the constants above."""
    return cause


def reset():
    """Ends the processor and starts it again."""
    _end("reset")


def cut_power():
    """Ends the processor, which stays off."""
    _end("cut")


def deepsleep(milliseconds):
    """Switches the processor off, and on again after that time."""
    _end("sleep", milliseconds)


class WDT:
    """The watchdog: once started, it resets the processor unless it is fed in time."""

    def __init__(self, id=0, timeout=5000):
        tell("watch", timeout)

    def feed(self):
        """Starts the time again."""
        tell("feed")


def _end(*words):
    tell(*words)
    while True:
        time.sleep(1)
