"""The ways in: serial ports and BLE devices that may vanish and return."""
