"""Gives a board its identity and its key, which the KMS issues or which is made here for a gateway.

The key goes nowhere but over the board's REPL, over TLS from the KMS, and into registry files of mode 0600.
"""

import fcntl
import hashlib
import json
import os
import secrets
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pericard_edge.kms import KmsClient
from pericard_protocol.device.frame import KEY_BYTES
from pericard_protocol.device.ratchet import MAX_EPOCH
from pericard_protocol.errors import UsageError
from pericard_tools.board.flash import write_file
from pericard_tools.board.repl import hard_reset, raw_repl
from pericard_tools.errors import BadArgument

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


class KeySource(Protocol):
    """Who issues a device's key, and is told when the board has it."""

    def issue(self, device: int, owner: str) -> "Issued":
        """A key that no board had before."""

    def confirm(self, device: int, owner: str, issued: "Issued") -> None:
        """Notes that the board has the key."""


@dataclass(frozen=True)
class Issued:
    """A device key, its epoch, and the boot number that the board must start above."""

    key: bytes = field(repr=False)
    epoch: int
    boot: int


class RegistrySource:
    """Makes keys here, and adds them to the gateway's file of devices (made if it is not there)."""

    def __init__(self, registry: Path, epoch: int = 0) -> None:
        if not 0 <= epoch <= MAX_EPOCH:
            raise BadArgument(f"an epoch is between 0 and {MAX_EPOCH}")
        self._registry, self._epoch = registry, epoch

    def issue(self, device: int, owner: str) -> Issued:
        """A random key. No board ever had it, so the board's boot number may start at 0."""
        # Looked at before the board is touched, so that an unusable registry costs the board nothing.
        _read(self._registry)
        if not os.access(self._registry.parent, os.W_OK):
            raise BadArgument(
                f"{self._registry.parent} is no folder that can be written: name another registry"
            )
        return Issued(secrets.token_bytes(KEY_BYTES), self._epoch, 0)

    def confirm(self, device: int, owner: str, issued: Issued) -> None:
        """Adds the device. Where that fails, the gateway refuses the board until it is provisioned again."""
        entry = {"device": device, "epoch": issued.epoch, "key": issued.key.hex(), "owner": owner}
        try:
            _add(self._registry, entry)
        except OSError as error:
            raise UsageError(
                f"{self._registry} cannot be written ({error.strerror}): the new key is lost, provision again"
            ) from None


class KmsSource:
    """Has the KMS enrol the device and make its key; gateways get it by lease."""

    def __init__(self, client: KmsClient) -> None:
        self._client = client

    def issue(self, device: int, owner: str) -> Issued:
        """A key of the KMS, with the (epoch, boot) floor of a device that was in use before."""
        status, _ = self._client.raw("GET", f"devices/devices/{device}")
        if status == 404:
            self._client.call("POST", f"devices/devices/{device}", {"owner": owner})
        answer = self._client.call("POST", f"devices/devices/{device}/provision", {})
        return Issued(b64decode(answer["key"]), int(answer["epoch"]), int(answer["boot"]))

    def confirm(self, device: int, owner: str, issued: Issued) -> None:
        """The KMS knows already."""


def provision(
    port: str,
    device: int,
    owner: str,
    age: int,
    source: KeySource,
    update_key: bytes | None = None,
    now: Callable[[], float] = time.time,
) -> None:
    """Writes a key from `source` to the board on `port`, and resets the board.

    Args:
        port: a serial port, real or a virtual board's.
        device: the public device id, u32.
        owner: whose board it is, for people; stays on the board and with the key's source.
        age: the patient's, in years; goes into every vitals payload.
        source: the KMS, or a gateway's registry.
        update_key: the Ed25519 public key, 32 bytes, whose updates the board is to take; None: none.
        now: Unix seconds.

    Raises:
        BadArgument: the port, an argument or the registry cannot be used.
        UsageError: the registry could be read and not written: the board's new key is lost.
        KmsRefused, Unavailable: the KMS gives no key.
        BoardError: the board did not answer as MicroPython does.
    """
    _check(device, owner, age)
    issued = source.issue(device, owner)
    clock = int(now())
    record = {
        "device": device,
        "epoch": issued.epoch,
        "key": issued.key.hex(),
        "owner": owner,
        "age": age,
        "clock": clock,
        "boot": issued.boot,
        "since": clock,
    }
    with raw_repl(port) as board:
        write_file(board, "/keystore.bin", _record(json.dumps(record).encode()))
        write_file(board, "/boot.bin", _record(issued.boot.to_bytes(4, "big")))
        if update_key is not None:
            write_file(board, "/update.pub", update_key)
        board.exec(_SET_CLOCK.format(tuple(time.gmtime(clock))))
        source.confirm(device, owner, issued)
        hard_reset(board)


def _check(device: int, owner: str, age: int) -> None:
    if not 0 < device <= _MAX_DEVICE:
        raise BadArgument(f"a device id is between 1 and {_MAX_DEVICE}")
    if not 0 <= age <= _OLDEST_AGE:
        raise BadArgument(f"an age is between 0 and {_OLDEST_AGE} years")
    if not 0 < len(owner) <= _MAX_OWNER_CHARACTERS:
        raise BadArgument(f"an owner is a text of 1 to {_MAX_OWNER_CHARACTERS} characters")


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
        raise BadArgument(f"{registry} cannot be read as a registry of devices: mend it or name another file")
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
