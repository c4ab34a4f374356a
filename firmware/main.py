"""Runs the node; a crash is added to /crash.log and the node starts again with a new boot number."""

import gc
import os
import sys
import time

import machine

# Collect after so many bytes, not when all is taken: what compiling a module leaves lies between what stays,
# and the next module's larger pieces found no room in one place.
gc.threshold(8192)

_LOG = "/crash.log"
_LOG_BYTES = 4096


def _log(error):
    try:
        # The newest crashes are the ones to read; the file must not fill the flash.
        full = os.stat(_LOG)[6] > _LOG_BYTES
    except OSError:
        full = False
    try:
        with open(_LOG, "w" if full else "a") as log:
            sys.print_exception(error, log)
    except OSError:
        pass  # a full flash must not end the node


def _start_again_on_trial():
    """Firmware that crashes before it has proved itself has boot.py count one start of a few."""
    try:
        os.stat("/trial.bin")
    except OSError:
        return
    machine.reset()


while True:
    try:
        from pericard_node import app

        app.main()
        break  # not provisioned: leave the port to the operator
    except Exception as error:
        _log(error)
        time.sleep(1)
        _start_again_on_trial()
