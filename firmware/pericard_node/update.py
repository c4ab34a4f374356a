"""Updates over the link: signed, whole or not at all, and never back to an older version (docs/adr/0010).

The stream: "PUPD" ‖ the manifest's length, 4 hex digits ‖ manifest ‖ its Ed25519 signature, 128 hex digits ‖
the files, in the manifest's order. It is text where the files are, so that no byte of it is a Ctrl-C to the
REPL. The manifest is JSON: {"version": n, "files": [{"path", "size", "sha256"}, …]}.

Nothing is written before the signature has verified under the key that provisioning put in /update.pub; files
go beside the ones they replace, and only when all are there and right is a record written that has `finish`
rename them at the next start. What starts then is on trial (trial.py).
"""

import gc
import hashlib
import json
import os
from binascii import hexlify, unhexlify

from pericard_node import flash, trial
from pericard_node.ed25519 import verify

KEY_PATH = "/update.pub"
READY_PATH = "/update.bin"

_MAGIC = b"PUPD"
_HEAD_BYTES = 8
_MAX_MANIFEST = 4000
_MAX_FILE = 65536
_MAX_FILES = 64
_SIGNATURE_DIGITS = 128
_STAGED = ".update"


class Refused(Exception):
    """The update is not taken."""


def finish():
    """Puts the files of a complete update in place; returns whether there was one.

    The power may fail at any moment: the next start goes on. boot.py, which no update replaces, calls this.
    """
    try:
        manifest = json.loads(flash.read(READY_PATH))
    except flash.Damaged:
        return False
    paths = [described["path"] for described in manifest["files"]]
    trial.begin(manifest["version"], paths)
    for path in paths:
        if not flash.exists(path + _STAGED):
            continue  # it was put in place before the power failed
        if flash.exists(path):  # there is none where the file is new, or was renamed before the power failed
            os.rename(path, path + trial.OLD)
        os.rename(path + _STAGED, path)
    os.remove(READY_PATH)
    return True


class Receiver:
    """Takes the bytes of an update, checks it, and writes its files beside those that they replace."""

    def __init__(self):
        """Reads the update key; a node without one takes no update."""
        try:
            with open(KEY_PATH, "rb") as file:
                self._key = file.read(32)
        except OSError:
            self._key = None
        self.version = trial.running_version()
        self.failed = trial.failed_version()
        self.rejected = 0
        self.complete = False  # an update is staged whole: the next start is of its version
        self._reset()

    def _reset(self):
        self._pending = b""
        self._manifest = None
        self._file = None
        self.taken = 0  # bytes of the update under way

    def takes_updates(self):
        """Whether this node has an update key, without which it takes none."""
        return self._key is not None

    def has_begun(self):
        """Whether an update has begun and is neither complete nor refused."""
        return self.taken > 0 and not self.complete

    def has_verified(self):
        """Whether the signature of the update under way was right."""
        return self._manifest is not None

    def feed(self, data):
        """Takes the next bytes; an update that is not taken is counted and dropped."""
        self.taken += len(data)
        try:
            self.complete = self._take(data)
        except (Refused, OSError, ValueError, KeyError, TypeError, MemoryError):
            self.refuse()

    def refuse(self):
        """Counts and drops the update under way; another begins with its first byte."""
        self.rejected += 1
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                pass  # the flash is full; the file is of no use anyway
        self._reset()

    def _take(self, data):
        self._pending += data
        if self._manifest is None:
            head = self._pending[:4]
            if head != _MAGIC[: len(head)] or self._key is None:
                raise Refused
            if len(self._pending) < _HEAD_BYTES:
                return False
            length = int(self._pending[4:_HEAD_BYTES], 16)
            if not 0 < length <= _MAX_MANIFEST:
                raise Refused
            signed = _HEAD_BYTES + length
            end = signed + _SIGNATURE_DIGITS
            if len(self._pending) < end:
                return False
            self._open(self._pending[_HEAD_BYTES:signed], unhexlify(self._pending[signed:end]))
            self._pending = self._pending[end:]
        while self._at < len(self._files):
            if not self._write_some():
                return False
        flash.write(READY_PATH, self._manifest)
        return True

    def _open(self, manifest, signature):
        """Checks signature, version and paths. Nothing of the update is written to the flash before that."""
        gc.collect()  # the copy of the manifest needs one long piece of memory
        # During a trial the *.old files are those of the version before: a second update would lose them.
        if trial.on_trial() or not verify(self._key, signature, manifest):
            raise Refused
        described = json.loads(manifest)
        files = described["files"]
        if described["version"] <= max(self.version, self.failed) or not 0 < len(files) <= _MAX_FILES:
            raise Refused
        for one in files:
            path = one["path"]
            # Code only: the keystore, the counter and the update key are not an update's to replace, and
            # neither is boot.py, which takes bad updates back.
            if not (path == "/main.py" or path.startswith("/pericard_node/")) or ".." in path:
                raise Refused
            if not 0 <= one["size"] <= _MAX_FILE:
                raise Refused
        self._manifest = manifest
        self._files = files
        self._at = 0

    def _write_some(self):
        """Writes what has come of the current file; returns whether the file is complete."""
        described = self._files[self._at]
        if self._file is None:
            self._file = open(described["path"] + _STAGED, "wb")  # noqa: SIM115 - closed when it is complete
            self._left = described["size"]
            self._digest = hashlib.sha256()
        part = self._pending[: self._left]
        self._pending = self._pending[len(part) :]
        self._file.write(part)
        self._digest.update(part)
        self._left -= len(part)
        if self._left:
            return False
        self._file.close()
        self._file = None
        if hexlify(self._digest.digest()).decode() != described["sha256"]:
            raise Refused
        self._at += 1
        return True
