"""Encrypt, decrypt, rewrap and make data keys, with symmetric and RSA keys."""

import os
from typing import Any

from pericard_kms.crypto import aead, key_material, wrapping
from pericard_kms.engines import states
from pericard_kms.engines.key_box import KeyBox
from pericard_kms.engines.keys import Key, Version
from pericard_kms.engines.transit.batches import check_contexts, for_each, parse_versioned, versioned
from pericard_kms.errors import Invalid
from pericard_kms.fields import Fields, decode, encode
from pericard_kms.routing import Request, Response


class Encryption:
    """The paths that encrypt and decrypt with the keys of a box."""

    def __init__(self, keys: KeyBox) -> None:
        self._keys = keys

    def encrypt(self, request: Request, name: str) -> Response | dict[str, Any]:
        """POST encrypt/{name}; the API made the key when it was missing."""
        fields = request.fields
        key = self._keys.get(name)
        if not key.kind.encrypts:
            raise Invalid(f"key type {key.kind.name} not supported for this operation")
        check_contexts(fields)

        def one(item: Fields) -> dict[str, Any]:
            if item.raw.get("plaintext") is None:
                raise Invalid("missing plaintext to encrypt")
            plaintext = decode(item.raw["plaintext"], "plaintext")
            box, version = self._encrypt(key, plaintext, item)
            return {"ciphertext": box, "key_version": version.number}

        return for_each(fields, one, {})

    def decrypt(self, request: Request, name: str) -> Response | dict[str, Any]:
        """POST decrypt/{name}."""
        key = self._keys.get(name)
        check_contexts(request.fields)
        return for_each(
            request.fields, lambda item: {"plaintext": encode(self._decrypt(key, item))}, {"plaintext": ""}
        )

    def rewrap(self, request: Request, name: str) -> Response | dict[str, Any]:
        """POST rewrap/{name}: under the latest version, the plaintext never leaving."""
        key = self._keys.get(name)
        check_contexts(request.fields)

        def one(item: Fields) -> dict[str, Any]:
            box, version = self._encrypt(key, self._decrypt(key, item), item)
            return {"ciphertext": box, "key_version": version.number}

        return for_each(request.fields, one, {})

    def data_key(self, request: Request, form: str, name: str) -> dict[str, Any]:
        """POST datakey/{plaintext|wrapped}/{name}: a fresh key, wrapped, and in the clear when asked."""
        if form not in ("plaintext", "wrapped"):
            raise Invalid("Invalid path, must be 'plaintext' or 'wrapped'")
        key = self._keys.get(name)
        bits = request.fields.whole("bits", 256)
        if bits not in (128, 256, 512):
            raise Invalid("invalid bit length: 128, 256 or 512")
        fresh = os.urandom(bits // 8)
        box, version = self._encrypt(key, fresh, request.fields)
        data: dict[str, Any] = {"ciphertext": box, "key_version": version.number}
        if form == "plaintext":
            data["plaintext"] = encode(fresh)
        return data

    def _key_of(self, key: Key, version: Version, item: Fields) -> tuple[bytes, bytes]:
        """(the key to use, the associated data) of an item for an AEAD key."""
        context = item.data("context")
        if key.derived:
            if not context:
                raise Invalid("missing 'context' for key derivation; the key was created using a derived key")
            return key_material.derive(version.material, context), item.data("associated_data")
        return version.material, item.data("associated_data")

    def _encrypt(self, key: Key, plaintext: bytes, item: Fields) -> tuple[str, Version]:
        version = self._keys.protecting(key, item.whole("key_version"))
        if key.kind.family == "aead":
            secret, associated = self._key_of(key, version, item)
            box = aead.encrypt(key.kind, secret, plaintext, associated, convergent=key.convergent)
        elif key.kind.family == "rsa":
            if "associated_data" in item:
                raise Invalid(f"'associated_data' provided for non-AEAD cipher suite {key.kind.name}")
            box = wrapping.rsa_encrypt(version.public(key.kind), plaintext)
        else:
            raise Invalid(f"key type {key.kind.name} does not support encryption")
        self._keys.count(key, version)
        return versioned(version, box), version

    def _decrypt(self, key: Key, item: Fields) -> bytes:
        if item.raw.get("ciphertext") is None:
            raise Invalid("missing ciphertext to decrypt")
        number, rest = parse_versioned(item.text("ciphertext"))
        version = key.version(number)
        key.check(version, states.OPENS, "decryption")
        box = decode(rest, "ciphertext")
        if key.kind.family == "aead":
            secret, associated = self._key_of(key, version, item)
            return aead.decrypt(key.kind, secret, box, associated)
        if key.kind.family == "rsa":
            return wrapping.rsa_decrypt(version.private(key.kind), box)
        raise Invalid(f"key type {key.kind.name} does not support decryption")
