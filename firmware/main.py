"""Runs the node; a crash is added to /crash.log and the node starts again with a new boot number."""

import gc
import os
import sys
import time

import machine

# Collect garbage after so many bytes, not only when memory is full. Else what compiling a module leaves lies
# between what stays, and the next module finds no free piece that is long enough.
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
    """Restarts the board where firmware on trial has crashed: boot.py counts its starts, and they are few."""
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
