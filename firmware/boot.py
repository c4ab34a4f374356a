"""Runs before main.py: completes an update, and takes it back where the new firmware fails its trial.

A fault in this file would make the board unreachable over its port. So no update replaces it, and taking
firmware back needs nothing that an update replaces. pericard_node/trial.py says what the files are.
"""

import json
import os

import machine

_STARTS = 5
_WATCH_MS = 600000  # the same time as trial.SECONDS; firmware that works feeds the watchdog


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


def _watch():
    """Counts a start of firmware on trial; after the last that it may have, puts the old files back."""
    try:
        with open("/trial.bin", "rb") as file:
            trial = json.loads(file.read()[32:])  # its SHA-256 comes first
    except OSError:
        return
    with open("/trial.n", "ab") as file:
        file.write(b".")
    if os.stat("/trial.n")[6] <= _STARTS:
        machine.WDT(timeout=_WATCH_MS)
        return
    _remove("/update.bin")  # or the update would be completed again
    for path in trial["replaced"]:
        try:
            os.rename(path + ".old", path)
        except OSError:
            pass  # it was put back before the power failed, or was never replaced
    for path in trial["added"]:
        _remove(path)
    os.rename("/trial.bin", "/failed.bin")


try:
    _watch()
    from pericard_node import update

    if update.finish():
        machine.reset()  # into the trial
except Exception as error:
    print("boot:", error)
