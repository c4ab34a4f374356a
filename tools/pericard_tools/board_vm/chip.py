"""The virtual board's `machine`: what MicroPython's own unix port has, and what only a chip has.

A hard reset ends the whole processor, so it is asked of the board over `control`, which bootstrap.py sets.
"""

import time

from machine import *

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

# What goes over `control`, one byte each.
READY = b"!"
RESET = b"r"
POWER_CUT = b"x"

control = None


def reset():
    """Ends the processor and starts it again."""
    _end(RESET)


def cut_power():
    """Ends the processor, which stays off."""
    _end(POWER_CUT)


def _end(how):
    control.write(how)
    while True:
        time.sleep(1)
