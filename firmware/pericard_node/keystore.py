"""The node's identity and key, from its flash. The only reader of key material.

The record is JSON: {"device", "epoch", "key" (hex), "owner", "age", "clock", "boot", "since"}. `clock` is
the Unix time of provisioning; `boot` and `since` are the boot number and the clock at which the epoch began.
"""

import json
from binascii import hexlify, unhexlify

from pericard_node import flash
from pericard_node.counter import NeedsProvisioning
from pericard_node.ratchet import MAX_EPOCH, next_key

PATH = "/keystore.bin"

# An epoch ends after 2^20 frames, 24 hours, or 1,024 starts, whichever is first. Starts count because a
# node that sleeps deeply or loses power between sends may never see 24 hours in one piece.
EPOCH_FRAMES = 1 << 20
EPOCH_SECONDS = 24 * 3600
EPOCH_BOOTS = 1 << 10


class Keystore:
    """What provisioning wrote. Prints without its key."""

    def __init__(self, path=PATH):
        """Reads the record. Raises NeedsProvisioning where it is missing, damaged or not of this form."""
        self._path = path
        try:
            self._record = record = json.loads(flash.read(path))
            self.key = unhexlify(record["key"])
            self.device = record["device"]
            self.epoch = record["epoch"]
            self.age = record["age"]
            self.clock = record["clock"]
            self.boot = record["boot"]
            self.since = record["since"]
        except flash.Damaged as error:
            raise NeedsProvisioning(f"keystore: {error}")
        except (ValueError, KeyError, TypeError):
            # Named without its cause: what the record holds must not reach a log.
            raise NeedsProvisioning("keystore: not of this firmware's form")
        if len(self.key) != 32 or not 0 <= self.epoch <= MAX_EPOCH:
            raise NeedsProvisioning("keystore: not of this firmware's form")

    def __repr__(self):
        return f"Keystore(device={self.device}, epoch={self.epoch})"

    def epoch_is_over(self, frames, now, boot):
        """Whether to move on: `frames` sealed in this start, `now` the clock, `boot` this start's number.

        A clock that went backwards (power was lost, and with it the time) says nothing; starts and frames do.
        """
        return frames >= EPOCH_FRAMES or now - self.since >= EPOCH_SECONDS or boot - self.boot >= EPOCH_BOOTS

    def advance(self, now, boot):
        """Moves to the next epoch. The new key is durable and the old record replaced before it is used."""
        if self.epoch >= MAX_EPOCH:
            raise NeedsProvisioning("keystore: the last epoch is over")
        key = next_key(self.key, self.epoch)
        record = dict(self._record)
        record.update(epoch=self.epoch + 1, key=hexlify(key).decode(), boot=boot, since=now)
        flash.write(self._path, json.dumps(record).encode())
        self._record = record
        self.key, self.epoch, self.boot, self.since = key, self.epoch + 1, boot, now
