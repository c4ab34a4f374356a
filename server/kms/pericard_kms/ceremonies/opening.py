"""How the root key comes into memory: made once, unwrapped by the machine's seal, or joined from shares."""

import hmac
import json
import os
import uuid
from typing import Any

from pericard_kms.ceremonies import seals
from pericard_kms.ceremonies.seals import Seal
from pericard_kms.errors import Invalid, Misused, Tampered
from pericard_kms.fields import Fields
from pericard_kms.storage.database import Database
from pericard_kms.storage.sealed_store import SEAL, SealedStore


class Opening:
    """The seal's record in the store, and the key shares that keepers have given so far."""

    def __init__(self, database: Database, auto: Seal | None) -> None:
        """With `auto`, a new KMS is initialised under that seal and opens without keepers."""
        self._database, self._auto = database, auto
        self._shares: list[bytes] = []
        self._nonce = ""

    def record(self) -> dict[str, Any] | None:
        """The seal's record, or None while the KMS is not initialised.

        Raises:
            Tampered: it is not readable.
        """
        data = self._database.get(SEAL)
        try:
            return None if data is None else dict(json.loads(data))
        except ValueError:
            raise Tampered(
                "the seal's record in the store is not readable: restore the store from a backup"
            ) from None

    def unwrapped(self) -> bytes | None:
        """The root key, when the machine's own seal can open it.

        Raises:
            Misused: the KMS is sealed by another seal than the one it was started with.
            Tampered: the seal does not open it.
        """
        record = self.record()
        if not record or self._auto is None:
            return None
        if record["type"] != self._auto.kind:
            raise Misused(
                f"this KMS is sealed by {record['type']}, not by {self._auto.kind}: start it accordingly"
            )
        return self._auto.unwrap(record)

    def status(self) -> dict[str, Any]:
        """The part of sys/seal-status that the seal knows."""
        record = self.record() or {}
        return {
            "type": record.get("type", self._auto.kind if self._auto else "shamir"),
            "initialized": bool(record),
            "t": record.get("t", 0),
            "n": record.get("n", 0),
            "progress": len(self._shares),
            "nonce": self._nonce,
        }

    def initialise(self, fields: Fields, now: float) -> tuple[bytes, list[bytes]]:
        """Makes a root key and lays the store under it: (the root key, the keepers' shares).

        The shares are none where the machine's own seal wraps the root key.

        Raises:
            Invalid: it is initialised already, or cannot be split so.
        """
        if self.record() is not None:
            raise Invalid("Vault is already initialized")
        if fields.names("pgp_keys") or fields.text("root_token_pgp_key"):
            raise Invalid("PGP keys are not supported: give each keeper their share in person")
        root = os.urandom(32)
        shares: list[bytes] = []
        if self._auto is not None:
            record = self._auto.wrap(root)
        else:
            count, threshold = fields.whole("secret_shares", 5), fields.whole("secret_threshold", 3)
            try:
                record, shares = seals.shamir_record(root, count, threshold)
            except Misused as error:
                raise Invalid(f"invalid seal configuration: {error}") from None
        SealedStore.initialise(self._database, root, record, now)
        return root, shares

    def take_share(self, fields: Fields) -> bytes | None:
        """Adds a keeper's share, or with `reset` drops all: the root key once there are enough, else None.

        Raises:
            Invalid: no share is asked for now, it is not a share, or the shares are not this KMS's.
        """
        record = self.record()
        if record is None:
            raise Invalid("Vault is not initialized")
        if record["type"] != "shamir":
            raise Invalid(f"this KMS is sealed by {record['type']}: restart it with that seal")
        if fields.flag("reset"):
            self._shares, self._nonce = [], ""
            return None
        share = seals.read_share(fields.text("key"))
        if not any(hmac.compare_digest(share, known) for known in self._shares):
            self._shares.append(share)
        self._nonce = self._nonce or str(uuid.uuid4())
        if len(self._shares) < record["t"]:
            return None
        shares, self._shares, self._nonce = self._shares, [], ""
        try:
            return seals.shamir_unwrap(record, shares)
        except Tampered:
            raise Invalid(
                "unseal failed, invalid key: these shares are not this KMS's, start again"
            ) from None
