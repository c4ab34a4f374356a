"""Copy to config.py (git-ignored) and flash it with `pericard flash --config config.py PORT`."""

SENSOR = "recording"  # what pericard_node.sensor offers
UART = None  # None: the USB port that the REPL is on; or the number of a UART
BAUDRATE = 115200
SENSOR_ID = None  # None: made from the device id
