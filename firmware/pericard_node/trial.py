"""New firmware is on trial until it has proved itself: until then boot.py can take it back.

During a trial the files that the update replaced stay beside the new ones, as *.old. boot.py counts the
starts in /trial.n and sets a watchdog. After the last start that a trial may have, it puts the old files back
and removes those that the update added. It does so without any module that an update replaces.

A trial begins with the record /trial.bin. Firmware that fails has it renamed to /failed.bin; firmware that
proves itself has it renamed to /version.bin. One rename cannot be done by half.
"""

import json
import os

from pericard_node import flash

TRIAL_PATH = "/trial.bin"
STARTS_PATH = "/trial.n"
VERSION_PATH = "/version.bin"
FAILED_PATH = "/failed.bin"
OLD = ".old"
# How long a start on trial may run without having sent anything; boot.py's watchdog has the same time.
SECONDS = 600


def _record(path):
    try:
        return json.loads(flash.read(path))
    except flash.Damaged:
        return None


def _number(path):
    record = _record(path)
    return record["version"] if record else 0


def running_version():
    """The version of the firmware that runs, on trial or not; 0 before the first update."""
    return _number(TRIAL_PATH) or _number(VERSION_PATH)


def failed_version():
    """The version that was last taken back; 0 where none was."""
    return _number(FAILED_PATH)


def on_trial():
    """Whether what runs here has still to prove itself."""
    return _record(TRIAL_PATH) is not None


def begin(version, paths):
    """Begins a trial: notes which files the update replaces and which it adds, before any is changed.

    Does nothing where a trial has begun already: the power may have failed since.
    """
    if on_trial():
        return
    # An earlier trial leaves these where the power failed while it ended.
    _remove(STARTS_PATH)
    for path in paths:
        _remove(path + OLD)
    replaced = [path for path in paths if flash.exists(path)]
    added = [path for path in paths if path not in replaced]
    flash.write(TRIAL_PATH, json.dumps({"version": version, "replaced": replaced, "added": added}).encode())


def accept():
    """Ends the trial: what runs here is the version from now on, and its old files are removed."""
    replaced = _record(TRIAL_PATH)["replaced"]
    os.rename(TRIAL_PATH, VERSION_PATH)
    _remove(STARTS_PATH)
    for path in replaced:
        _remove(path + OLD)


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass  # there is none
