"""Wrapping keys, one per patient, for the data keys of that patient's records; destroyed, they erase them.

Erasure destroys every version at once (the law gives no delay) and leaves a receipt: what was destroyed and
when, its entry in the audit log with an inclusion proof under a signed checkpoint, and the result of a search
of every stored value for another copy of the key. The receipt speaks for this store; a backup of the store
made before still holds the sealed key until it is destroyed too, and says so in `limits`.
"""

import base64
from typing import Any

import orjson

from pericard_kms.crypto import aead, key_material
from pericard_kms.crypto.key_types import TYPES
from pericard_kms.engines import states
from pericard_kms.engines.key_box import KeyBox
from pericard_kms.engines.keys import Key
from pericard_kms.engines.states import KeyState
from pericard_kms.errors import Invalid, NotFound
from pericard_kms.fields import decode, encode, rfc3339
from pericard_kms.routing import Request, Routes
from pericard_kms.storage.sealed_store import SealedStore

_KIND = TYPES["aes256-gcm-siv"]
_LIMITS = (
    "Backups of the KMS's store from before this time hold the key sealed: destroy them or let them expire."
)


class PatientEngine:
    """The paths of a `patients` mount."""

    def __init__(self, store: SealedStore, mount: str) -> None:
        self._store = store
        self._keys = KeyBox(store, mount)
        self._receipts = f"mount/{mount}/receipt/"
        self.routes = Routes()
        add = self.routes.add
        add("patients", list=self._index)
        add("patients/{patient}", read=self._read)
        add("patients/{patient}/datakey", update=self._data_key)
        add("patients/{patient}/wrap", update=self._wrap)
        add("patients/{patient}/unwrap", update=self._unwrap)
        add("patients/{patient}/rotate", update=self._rotate)
        add("patients/{patient}/erase", update=self._erase)
        add("patients/{patient}/receipt", read=self._receipt)

    def close(self) -> None:
        """Takes the key box's hooks off the store."""
        self._keys.close()

    def tick(self) -> list[str]:
        """Nothing here comes due."""
        return []

    def _index(self, request: Request) -> dict[str, Any]:
        return {"keys": self._keys.names()}

    def _read(self, request: Request, patient: str) -> dict[str, Any]:
        key = self._find(patient)
        return {
            "patient": patient,
            "latest_version": key.latest,
            "versions": {str(v.number): {"state": v.state, "uses": v.uses} for v in key.versions.values()},
        }

    def _find(self, patient: str) -> Key:
        key = self._keys.find(patient)
        if key is None:
            raise NotFound(f"the patient {patient} has no key here")
        return key

    def _bound(self, request: Request, patient: str) -> bytes:
        """Associated data: the patient and what the caller binds (a quarter, a table)."""
        return patient.encode() + b"\x00" + request.fields.data("associated_data")

    def _wrap_bytes(self, request: Request, patient: str, plaintext: bytes) -> str:
        key = self._keys.find(patient)
        if key is None:
            key = Key(patient, _KIND)
            key.rotate(self._store.clock())
            self._keys.save(key)
        if key.erased:
            raise Invalid(f"the patient {patient} was erased: nothing can be stored for them under this name")
        version = self._keys.protecting(key)
        box = aead.encrypt(_KIND, version.material, plaintext, self._bound(request, patient))
        self._keys.count(key, version)
        return f"vault:v{version.number}:{encode(box)}"

    def _data_key(self, request: Request, patient: str) -> dict[str, Any]:
        """POST patients/{p}/datakey: a fresh 32-byte data key, in the clear and wrapped."""
        fresh = key_material.generate(_KIND)
        return {"plaintext": encode(fresh), "ciphertext": self._wrap_bytes(request, patient, fresh)}

    def _wrap(self, request: Request, patient: str) -> dict[str, Any]:
        """POST patients/{p}/wrap: {plaintext}."""
        return {"ciphertext": self._wrap_bytes(request, patient, request.fields.data("plaintext"))}

    def _unwrap(self, request: Request, patient: str) -> dict[str, Any]:
        """POST patients/{p}/unwrap: {ciphertext}."""
        key = self._find(patient)
        head, _, rest = request.fields.text("ciphertext").rpartition(":")
        number = head.removeprefix("vault:v")
        if not number.isdigit() or len(number) > 9:
            raise Invalid("invalid ciphertext: no prefix")
        version = key.version(int(number))
        key.check(version, states.OPENS, "unwrapping")
        box = decode(rest, "ciphertext")
        opened = aead.decrypt(_KIND, version.material, box, self._bound(request, patient))
        return {"plaintext": encode(opened)}

    def _rotate(self, request: Request, patient: str) -> dict[str, Any]:
        """POST patients/{p}/rotate: old wrappings still open; wrap anew at leisure."""
        key = self._find(patient)
        key.rotate(self._store.clock())
        self._keys.save(key)
        return {"latest_version": key.latest}

    def _erase(self, request: Request, patient: str) -> dict[str, Any]:
        """POST patients/{p}/erase: {reason}. Final, at once."""
        reason = request.fields.text("reason")
        if len(reason) < 3:
            raise Invalid("reason: say why; it is in the receipt")
        key = self._find(patient)
        if key.erased:
            return self._receipt(request, patient)
        store, now = self._store, self._store.clock()
        secrets = [version.material for version in key.versions.values()]
        destroyed = sorted(key.versions)
        for version in key.versions.values():
            version.become(KeyState.DESTROYED, now, reason)
        key.erased = True
        self._keys.save(key)
        store.keep_request()
        event = f"erased the wrapping key of the patient {patient}, versions {destroyed}: {reason}"
        position = store.log.record({"time": rfc3339(now), "system": [event], "request": {"id": request.id}})
        checkpoint = store.checkpoint()  # makes the destruction durable before it is claimed
        size = position + 1
        searched, copies = self._search(secrets)
        receipt = {
            "patient": patient,
            "destroyed_versions": destroyed,
            "time": rfc3339(now),
            "reason": reason,
            "entry": next(iter(store.leaves(position, size))).decode(),
            "position": position,
            "inclusion_proof": [
                base64.b64encode(step).decode()
                for step in store.log.tree.inclusion(position, int(checkpoint.split("\n")[1]))
            ],
            "checkpoint": checkpoint,
            "values_searched": searched,
            "copies_found": copies,
            "limits": _LIMITS,
        }
        store.put(self._receipts + patient, orjson.dumps(receipt))
        return receipt

    def _search(self, secrets: list[bytes]) -> tuple[int, list[str]]:
        """(how many stored values were opened and searched, the names of those that hold a secret)."""
        needles = []
        for secret in secrets:
            needles += [secret, encode(secret).encode(), secret.hex().encode()]
        names = self._store.names("mount/")
        found = [
            name for name in names if any(needle in (self._store.get(name) or b"") for needle in needles)
        ]
        return len(names), found

    def _receipt(self, request: Request, patient: str) -> dict[str, Any]:
        data = self._store.get(self._receipts + patient) if patient.isascii() else None
        if data is None:
            raise NotFound(f"the patient {patient} was not erased")
        receipt: dict[str, Any] = orjson.loads(data)
        return receipt
