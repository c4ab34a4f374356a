"""New firmware is on trial until it has proved itself: until then the start before main.py can take it back.

boot.py does that, without this module or any other that an update replaces: it counts the starts in
/trial.n, sets a watchdog, and after the last of them puts back the files that the update replaced, which stay
beside the new ones as *.old, and takes away those that it added. The record of the trial then becomes that of
the failure; where the firmware proves itself it becomes that of the version. Each is one rename.
"""

import json
import os

from pericard_node import flash

TRIAL_PATH = "/trial.bin"
STARTS_PATH = "/trial.n"
VERSION_PATH = "/version.bin"
FAILED_PATH = "/failed.bin"
OLD = ".old"
# Firmware that runs and reaches nobody has as long as boot.py's watchdog gives to one that hangs.
SECONDS = 600


def _record(path):
    try:
        return json.loads(flash.read(path))
    except flash.Damaged:
        return None


def _number(path):
    record = _record(path)
    return record["version"] if record else 0


def version():
    """The version that runs here, on trial perhaps; 0 before the first update."""
    return _number(TRIAL_PATH) or _number(VERSION_PATH)


def failed():
    """The version that was taken back last; 0 where none was."""
    return _number(FAILED_PATH)


def on_trial():
    """Whether what runs here has still to prove itself."""
    return _record(TRIAL_PATH) is not None


def begin(version, paths):
    """Notes, before a file of an update is changed, what there was; changes nothing where that is noted."""
    if on_trial():
        return
    # What an earlier trial, cut while it ended, has left.
    _remove(STARTS_PATH)
    for path in paths:
        _remove(path + OLD)
    replaced = [path for path in paths if flash.exists(path)]
    added = [path for path in paths if path not in replaced]
    flash.write(TRIAL_PATH, json.dumps({"version": version, "replaced": replaced, "added": added}).encode())


def prove():
    """What runs here is good: it is the version now, and nothing takes it back."""
    replaced = _record(TRIAL_PATH)["replaced"]
    os.rename(TRIAL_PATH, VERSION_PATH)
    _remove(STARTS_PATH)
    for path in replaced:
        _remove(path + OLD)


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass  # not there, or no longer
