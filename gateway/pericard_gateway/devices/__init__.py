"""From bytes to opened frames: the devices' keys, their windows, the order of checks. No I/O."""
