"""What config.py on the board says, with a default for what it does not."""

SENSOR = "recording"
UART = None
BAUDRATE = 115200
SENSOR_ID = None


def load():
    """A table of the settings."""
    try:
        import config
    except ImportError:
        config = None
    return {name: getattr(config, name, default) for name, default in globals().items() if name[0].isupper()}
