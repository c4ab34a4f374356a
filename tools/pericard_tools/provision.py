"""Gives a board its identity and key, and the gateway's registry the same.

The key is made here, 32 random bytes, and travels only over the board's REPL and into files of mode 0600.
"""

import fcntl
import hashlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pericard_protocol.frame import KEY_BYTES
from pericard_protocol.ratchet import MAX_EPOCH
from pericard_tools.board_repl import hard_reset, raw_repl
from pericard_tools.errors import NoSuchBoard
from pericard_tools.flash import write_file

_MAX_DEVICE = 0xFFFFFFFF
_OLDEST_AGE = 130
_MAX_OWNER_CHARACTERS = 200

# A chip's clock is set in UTC and runs through resets and deep sleep; a virtual board has the host's.
_SET_CLOCK = """
import machine
if hasattr(machine, "RTC"):
    t = {0}
    machine.RTC().datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))
"""

_Registry = dict[str, list[dict[str, object]]]


def provision(
    port: str,
    device: int,
    owner: str,
    age: int,
    registry: Path,
    epoch: int = 0,
    update_key: bytes | None = None,
    now: Callable[[], float] = time.time,
) -> None:
    """Makes a key, writes it to the board on `port`, adds the device to `registry`, resets the board.

    The board comes first: should the registry then fail, the gateway refuses the board's frames, and the
    command is run again with a new key. A key is never given twice, so the boot counter may start at 0.

    Args:
        port: a serial port, real or a virtual board's.
        device: the public device id, u32.
        owner: whose board it is, for people; stays on the board and in the registry.
        age: the patient's, in years; goes into every vitals payload.
        registry: the gateway's file of devices; made if it is not there.
        epoch: the key's first epoch.
        update_key: the Ed25519 public key, 32 bytes, whose updates the board is to take; None: none.
        now: Unix seconds.

    Raises:
        NoSuchBoard: the port, an argument or the registry cannot be used.
        BoardError: the board did not answer as MicroPython does.
    """
    _check(device, owner, age, epoch)
    _read(registry)  # before the board is touched: a registry that cannot be read is the operator's to mend
    key = secrets.token_bytes(KEY_BYTES)
    clock = int(now())
    record = {
        "device": device,
        "epoch": epoch,
        "key": key.hex(),
        "owner": owner,
        "age": age,
        "clock": clock,
        "boot": 0,
        "since": clock,
    }
    with raw_repl(port) as board:
        write_file(board, "/keystore.bin", _record(json.dumps(record).encode()))
        write_file(board, "/boot.bin", _record(bytes(4)))
        if update_key is not None:
            write_file(board, "/update.pub", update_key)
        board.exec(_SET_CLOCK.format(tuple(time.gmtime(clock))))
        _add(registry, {"device": device, "epoch": epoch, "key": key.hex(), "owner": owner})
        hard_reset(board)


def _check(device: int, owner: str, age: int, epoch: int) -> None:
    if not 0 < device <= _MAX_DEVICE:
        raise NoSuchBoard(f"a device id is between 1 and {_MAX_DEVICE}")
    if not 0 <= epoch <= MAX_EPOCH:
        raise NoSuchBoard(f"an epoch is between 0 and {MAX_EPOCH}")
    if not 0 <= age <= _OLDEST_AGE:
        raise NoSuchBoard(f"an age is between 0 and {_OLDEST_AGE} years")
    if not 0 < len(owner) <= _MAX_OWNER_CHARACTERS:
        raise NoSuchBoard(f"an owner is a text of 1 to {_MAX_OWNER_CHARACTERS} characters")


def _record(body: bytes) -> bytes:
    """What pericard_node/flash.py reads: SHA-256(body) ‖ body."""
    return hashlib.sha256(body).digest() + body


def _read(registry: Path) -> _Registry:
    try:
        found = json.loads(registry.read_bytes())
    except FileNotFoundError:
        return {"devices": []}
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("devices"), list):
        raise NoSuchBoard(f"{registry} cannot be read as a registry of devices: mend it or name another file")
    return found


def _add(registry: Path, entry: dict[str, object]) -> None:
    """Replaces the registry with one that has `entry` in the place of that device's older one."""
    folder = os.open(registry.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # two boards may be provisioned at once
        found = _read(registry)
        devices = [known for known in found["devices"] if known.get("device") != entry["device"]]
        found["devices"] = [*devices, entry]
        descriptor, temporary = tempfile.mkstemp(dir=registry.parent, prefix=".registry-")  # mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(found, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, registry)
        except BaseException:
            os.unlink(temporary)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)
