"""What config.py on the board says, with a default for what it does not."""

SENSOR = "recording"
WAVEFORM = False
SENSOR_ID = None
LINK = "usb"
BAUDRATE = 115200
RING_BYTES = 16384
STATUS_SECONDS = 60
WATCHDOG_SECONDS = 60
SLEEP_SECONDS = 0
READINGS_A_WAKE = 10
BATTERY_PIN = None
BATTERY_DIVIDER = 2.0


class Settings:
    """The chosen values, as attributes of the names above."""


def load():
    """The settings. Raises ValueError for an unknown name, so that a misspelt one is not ignored."""
    chosen = Settings()
    names = [name for name in globals() if name[0].isupper() and name != "Settings"]
    for name in names:
        setattr(chosen, name, globals()[name])
    try:
        import config
    except ImportError:
        return chosen
    for name in dir(config):
        if name[0].isupper():
            if name not in names:
                raise ValueError("config.py: unknown setting " + name)
            setattr(chosen, name, getattr(config, name))
    return chosen
