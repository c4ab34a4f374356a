"""Rekeying: new key shares for new keepers, made by enough of the old ones. The root key stays as it is.

Unlike Vault, this needs a token with sudo as well as the shares: shares alone, found in an old safe, should
not be able to lock the present keepers out.
"""

import base64
import hmac
import uuid
from typing import Any

import orjson

from pericard_kms.ceremonies import seals
from pericard_kms.ceremonies.seals import read_share
from pericard_kms.errors import Invalid, Misused, Tampered
from pericard_kms.routing import Request, Response, Routes
from pericard_kms.storage.sealed_store import SEAL, SealedStore


class Rekey:
    """The paths sys/rekey/*: at most one rekeying is under way."""

    def __init__(self, store: SealedStore, routes: Routes) -> None:
        self._store = store
        self._clear()
        routes.add("rekey/init", read=self._status, update=self._begin, delete=self._cancel, sudo=True)
        routes.add("rekey/update", update=self._update, sudo=True)

    def _clear(self) -> None:
        self._nonce, self._shares, self._count, self._threshold = "", list[bytes](), 0, 0

    def _record(self) -> dict[str, Any]:
        record: dict[str, Any] = orjson.loads(self._store.unsealed_value(SEAL))
        return record

    def _status(self, request: Request) -> Response:
        record = self._record()
        status = {
            "nonce": self._nonce,
            "started": bool(self._nonce),
            "t": self._threshold,
            "n": self._count,
            "progress": len(self._shares),
            "required": record.get("t", 0),
            "pgp_fingerprints": None,
            "backup": False,
            "verification_required": False,
        }
        return Response(bare=status)

    def _begin(self, request: Request) -> Response:
        """PUT sys/rekey/init: {secret_shares, secret_threshold}."""
        if self._record()["type"] != "shamir":
            raise Invalid("this KMS is not sealed by key shares")
        if self._nonce:
            raise Invalid("rekey already in progress: cancel it first")
        if request.fields.names("pgp_keys") or request.fields.flag("require_verification"):
            raise Invalid(
                "PGP keys and verification are not supported: give each keeper their share in person"
            )
        count, threshold = (
            request.fields.whole("secret_shares", 5),
            request.fields.whole("secret_threshold", 3),
        )
        try:
            seals.shamir_record(
                bytes(32), count, threshold
            )  # before anyone gives a share: can it be split so?
        except Misused as error:
            raise Invalid(f"invalid seal configuration: {error}") from None
        self._nonce, self._count, self._threshold = str(uuid.uuid4()), count, threshold
        return self._status(request)

    def _cancel(self, request: Request) -> None:
        self._clear()

    def _update(self, request: Request) -> Response:
        """PUT sys/rekey/update: {key, nonce}: an old share; with the last, the new ones come back."""
        fields = request.fields
        if not self._nonce:
            raise Invalid("no rekey in progress")
        if not hmac.compare_digest(fields.text("nonce").encode(), self._nonce.encode()):
            raise Invalid("incorrect nonce supplied: this is another rekeying")
        share = read_share(fields.text("key"))
        if not any(hmac.compare_digest(share, known) for known in self._shares):
            self._shares.append(share)
        record = self._record()
        if len(self._shares) < record["t"]:
            return self._status(request)
        given, nonce = self._shares, self._nonce
        count, threshold = self._count, self._threshold
        self._clear()
        try:
            root = seals.shamir_unwrap(record, given)
        except Tampered:
            raise Invalid("rekey failed: these are not this KMS's shares, start again") from None
        new, shares = seals.shamir_record(root, count, threshold)
        self._store.replace_seal(new)
        keys = [share.hex() for share in shares]
        encoded = [base64.b64encode(share).decode() for share in shares]
        return Response(
            bare={"nonce": nonce, "complete": True, "keys": keys, "keys_base64": encoded, "backup": False}
        )
