"""Encapsulate and decapsulate with ML-KEM keys, which Vault and OpenBao do not have."""

from typing import Any

from pericard_kms.crypto import kem
from pericard_kms.engines import states
from pericard_kms.engines.key_box import KeyBox
from pericard_kms.engines.keys import Key
from pericard_kms.engines.transit.batches import for_each, parse_versioned, versioned
from pericard_kms.errors import Invalid
from pericard_kms.fields import Fields, decode, encode
from pericard_kms.routing import Request, Response


class Encapsulation:
    """The paths of ML-KEM over the keys of a box."""

    def __init__(self, keys: KeyBox) -> None:
        self._keys = keys

    def encapsulate(self, request: Request, name: str) -> Response | dict[str, Any]:
        """POST encapsulate/{name}: a fresh shared secret and its ciphertext for this key."""
        key = self._kem_key(name)

        def one(item: Fields) -> dict[str, Any]:
            version = self._keys.protecting(key, item.whole("key_version"), what="encapsulation")
            ciphertext, shared = kem.encapsulate(version.public(key.kind))
            self._keys.count(key, version)
            return {
                "ciphertext": versioned(version, ciphertext),
                "shared_secret": encode(shared),
                "key_version": version.number,
            }

        return for_each(request.fields, one, {})

    def decapsulate(self, request: Request, name: str) -> Response | dict[str, Any]:
        """POST decapsulate/{name}: the shared secret of a ciphertext."""
        key = self._kem_key(name)

        def one(item: Fields) -> dict[str, Any]:
            number, rest = parse_versioned(item.text("ciphertext"))
            version = key.version(number)
            key.check(version, states.OPENS, "decapsulation")
            shared = kem.decapsulate(version.private(key.kind), decode(rest, "ciphertext"))
            return {"shared_secret": encode(shared)}

        return for_each(request.fields, one, {})

    def _kem_key(self, name: str) -> Key:
        key = self._keys.get(name)
        if key.kind.family != "ml-kem":
            raise Invalid(
                f"key type {key.kind.name} does not encapsulate: make an ml-kem-768 or ml-kem-1024 key"
            )
        return key
