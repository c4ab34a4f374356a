"""What a real board's ROM does, in MicroPython: find the flash, run boot.py, run main.py, leave a REPL.

Arguments: the directory that is the flash; "main" or "raw" (after a soft reset from the raw REPL,
MicroPython does not run main.py); the file descriptor on which the board is told of a start and asked
for a reset; the change of the flash at which the power is to fail, or 0;
what machine.reset_cause says; the file descriptor of the radio, or -1.
"""

import os
import sys

import vfs


def _start():
    flash, mode, control, instants, cause, radio = sys.argv[1:]
    sys.path.insert(0, sys.argv[0].rsplit("/", 1)[0])
    import bluetooth  # these three are found beside this file
    import chip
    import disk

    sys.modules["machine"] = chip
    sys.modules["bluetooth"] = bluetooth
    if int(radio) >= 0:
        bluetooth.radio = open(int(radio), "r+b")  # noqa: SIM115
    chip.control = open(int(control), "w")  # noqa: SIM115 - open for as long as the processor runs
    chip.cause = int(cause)
    chip.tell("ready")

    vfs.umount("/")
    vfs.mount(disk.Flash(flash, chip.cut_power, int(instants)), "/")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.argv[:] = []
    for name in ("boot.py", "main.py") if mode == "main" else ("boot.py",):
        try:
            os.stat(name)
        except OSError:
            continue
        try:
            execfile(name, {"__name__": "__main__"})  # noqa: F821 - MicroPython's
        except SystemExit:
            return
        except BaseException as error:  # Ctrl-C too: a board prints it and goes on to the REPL
            sys.print_exception(error)
            return


_start()
