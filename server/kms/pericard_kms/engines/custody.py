"""Custody of FHE keys: the secret key stays, the evaluation key may go to the cloud.

The KMS does no FHE. The hospital's analysis worker makes the keys and lodges them here; it gets a secret key
back only sealed to an ML-KEM-768 key that it made for this one request, so no wire, log or file ever holds
the secret in the clear. What the cloud's policy reads is another path, which has no secret to give.
"""

from typing import Any

import orjson

from pericard_kms.errors import Invalid, NotFound
from pericard_kms.fields import decode, encode
from pericard_kms.routing import Request, Routes
from pericard_kms.storage.sealed_store import SealedStore
from pericard_protocol.errors import UsageError
from pericard_protocol.fhe.objects import key_fingerprint
from pericard_protocol.fhe.release import seal_release

_SCHEMES = ("ckks", "bfv", "bgv", "tfhe")


class CustodyEngine:
    """The paths of an `fhe` mount."""

    def __init__(self, store: SealedStore, mount: str) -> None:
        self._store = store
        self._prefix = f"mount/{mount}/fhe/"
        self.routes = Routes()
        add = self.routes.add
        add("keys", list=self._index)
        add("keys/{name}", read=self._read, update=self._lodge, delete=self._destroy)
        add("keys/{name}/evaluation", read=self._evaluation)
        add("keys/{name}/release", update=self._release)

    def close(self) -> None:
        """Nothing of it lives outside the store."""

    def tick(self) -> list[str]:
        """Nothing here comes due."""
        return []

    def _find(self, name: str) -> dict[str, Any]:
        data = self._store.get(self._prefix + name) if name.isascii() else None
        if data is None:
            raise NotFound(f"there is no FHE key {name}")
        record: dict[str, Any] = orjson.loads(data)
        # Computed, not stored: a record of a release that had another fingerprint is found under this one.
        evaluation = decode(record["evaluation"], "evaluation")
        record["fingerprint"] = key_fingerprint(record["parameters"], evaluation).hex()
        return record

    def _index(self, request: Request) -> dict[str, Any]:
        return {"keys": [name.removeprefix(self._prefix) for name in self._store.names(self._prefix)]}

    def _read(self, request: Request, name: str) -> dict[str, Any]:
        record = self._find(name)
        return {field: record[field] for field in ("scheme", "parameters", "fingerprint", "created")}

    def _lodge(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}: {scheme, parameters, secret, evaluation}; a lodged key is never replaced."""
        fields = request.fields
        if not name.isascii() or not name.isprintable():
            raise Invalid("an FHE key's name is printable ASCII")
        if self._store.get(self._prefix + name) is not None:
            raise Invalid(
                f"there is an FHE key {name} already: what was encrypted under it needs it; take another name"
            )
        if fields.text("scheme") not in _SCHEMES:
            raise Invalid(f"scheme: one of {', '.join(_SCHEMES)}")
        parameters = fields.text("parameters")
        if not (parameters.isascii() and parameters.isprintable()):
            raise Invalid("parameters: their name is printable ASCII")
        secret, evaluation = fields.data("secret"), fields.data("evaluation")
        if not secret or not evaluation:
            raise Invalid("secret and evaluation: the serialised keys, base64")
        fingerprint = key_fingerprint(parameters, evaluation).hex()
        record = {
            "scheme": fields.text("scheme"),
            "parameters": parameters,
            "secret": encode(secret),
            "evaluation": encode(evaluation),
            "created": self._store.clock(),
        }
        self._store.put(self._prefix + name, orjson.dumps(record))
        return {"fingerprint": fingerprint}

    def _destroy(self, request: Request, name: str) -> None:
        self._find(name)
        self._store.delete(self._prefix + name)

    def _evaluation(self, request: Request, name: str) -> dict[str, Any]:
        """GET keys/{name}/evaluation: what the cloud may have."""
        record = self._find(name)
        return {field: record[field] for field in ("scheme", "parameters", "fingerprint", "evaluation")}

    def _release(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}/release: {recipient}: the secret key, sealed to the worker's ML-KEM-768 key."""
        record = self._find(name)
        secret = decode(record["secret"], "secret")
        try:
            encapsulation, box = seal_release(
                secret, name, record["fingerprint"], request.fields.data("recipient")
            )
        except UsageError as error:
            raise Invalid(f"recipient, base64: {error}") from None
        return {
            "encapsulation": encode(encapsulation),
            "box": encode(box),
            "fingerprint": record["fingerprint"],
        }
