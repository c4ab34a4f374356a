"""Copy to config.py (git-ignored), change it, and flash it with `pericard flash --config config.py PORT`.

What is left out keeps its default, which is the value here.
"""

SENSOR = "recording"  # or "max30102", "ad8232", "waveform" (a recorded ECG, beats found on the node)
WAVEFORM = False  # send the ECG's samples too, where the sensor has them
SENSOR_ID = None  # None: made from the device id
LINK = "usb"  # the port that the REPL is on; or the number of a UART; or "ble"
BAUDRATE = 115200
RING_BYTES = 16384  # sealed packets that wait while the link is down; the oldest give way
STATUS_SECONDS = 60  # between status frames
WATCHDOG_SECONDS = 60  # without a reading for so long, the board resets; 0: never
SLEEP_SECONDS = 0  # deep sleep after READINGS_A_WAKE readings; 0: none
READINGS_A_WAKE = 10
BATTERY_PIN = None  # the ADC pin that the battery's divider is on
BATTERY_DIVIDER = 2.0
