"""MicroPython files that a virtual board runs before the firmware; not imported by the host."""
