"""Runs before main.py: watches firmware that is on trial, and completes an update. Nothing here may fail.

A fault in this file would make the board unreachable over its port. So no update replaces it, and it takes
bad firmware back without anything that an update replaces: see pericard_node/trial.py for the files.
"""

import json
import os

import machine

_STARTS = 5
_WATCH_MS = 600000  # as trial.SECONDS; fed by firmware that works


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


def _watch():
    """Counts a start of firmware on trial; after the last that may be, puts back what was before."""
    try:
        with open("/trial.bin", "rb") as file:
            trial = json.loads(file.read()[32:])  # behind its digest
    except OSError:
        return
    with open("/trial.n", "ab") as file:
        file.write(b".")
    if os.stat("/trial.n")[6] <= _STARTS:
        machine.WDT(timeout=_WATCH_MS)
        return
    _remove("/update.bin")  # else it would be completed again
    for path in trial["replaced"]:
        try:
            os.rename(path + ".old", path)
        except OSError:
            pass  # put back before the power failed, or never replaced
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
