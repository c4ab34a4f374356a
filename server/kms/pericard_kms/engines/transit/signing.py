"""Sign, verify, and compute and verify HMACs."""

import base64
import hmac
from typing import Any

from pericard_kms.crypto import hashing, key_material, signatures
from pericard_kms.engines import states
from pericard_kms.engines.key_box import KeyBox
from pericard_kms.engines.keys import Key, Version
from pericard_kms.engines.transit.batches import for_each, parse_versioned, versioned
from pericard_kms.engines.transit.tools import input_of
from pericard_kms.errors import Invalid
from pericard_kms.fields import Fields, decode, encode
from pericard_kms.routing import Request, Response


class Signing:
    """The paths that sign and verify with the keys of a box."""

    def __init__(self, keys: KeyBox) -> None:
        self._keys = keys

    def sign(self, request: Request, name: str, algorithm: str = "") -> Response | dict[str, Any]:
        """POST sign/{name}[/{hash}]."""
        fields = request.fields
        key = self._keys.get(name, "signing key not found")
        if not key.kind.signs:
            raise Invalid(f"key type {key.kind.name} does not support signing")
        options = _sign_options(fields, algorithm)

        def one(item: Fields) -> dict[str, Any]:
            message = input_of(item)
            version = self._keys.protecting(key, fields.whole("key_version"), what="signing")
            private, public = self._signing_key(key, version, item)
            signature = signatures.sign(key.kind, private, message, options)
            self._keys.count(key, version)
            encoded = (
                base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
                if options.jws
                else encode(signature)
            )
            result: dict[str, Any] = {
                "signature": f"vault:v{version.number}:{encoded}",
                "key_version": version.number,
            }
            if public is not None:
                result["publickey" if fields.raw.get("batch_input") else "public_key"] = encode(public)
            return result

        return for_each(fields, one, {"key_version": 0}, on_failure=200)

    def verify(self, request: Request, name: str, algorithm: str = "") -> Response | dict[str, Any]:
        """POST verify/{name}[/{hash}]: of a signature, or of an HMAC when `hmac` is given."""
        fields = request.fields
        items = fields.batch() or [fields]
        kinds = {("signature" in item, "hmac" in item) for item in items}
        if kinds == {(False, True)}:
            return self._verify_macs(fields, name, algorithm)
        if kinds != {(True, False)}:
            raise Invalid("provide one of 'signature' or 'hmac', the same for every item of a batch")
        key = self._keys.get(name, "signature verification key not found")
        if not key.kind.signs:
            raise Invalid(f"key type {key.kind.name} does not support verification")
        options = _sign_options(fields, algorithm)

        def one(item: Fields) -> dict[str, Any]:
            number, rest = parse_versioned(item.text("signature"), "signature")
            version = key.version(number)
            key.check(version, states.VERIFIES, "verification")
            signature = _decode_signature(rest, options.jws)
            public = version.public(key.kind)
            if key.derived:
                public = self._signing_key(key, version, item)[0].public_key()
            return {"valid": signatures.verify(key.kind, public, input_of(item), signature, options)}

        return for_each(fields, one, {"valid": False}, on_failure=200)

    def _signing_key(self, key: Key, version: Version, item: Fields) -> tuple[Any, bytes | None]:
        """(private key object, its raw public key when a context derived it)."""
        if not key.derived:
            return version.private(key.kind), None
        context = item.data("context")
        if not context:
            raise Invalid("missing 'context' for key derivation; the key was created using a derived key")
        private = key_material.load_private(key.kind, key_material.derive(version.material, context))
        return private, private.public_key().public_bytes_raw()

    def mac(self, request: Request, name: str, algorithm: str = "") -> Response | dict[str, Any]:
        """POST hmac/{name}[/{hash}]."""
        fields = request.fields
        key = self._keys.get(name)
        hash_name = algorithm or fields.text("algorithm", "sha2-256")
        hashing.hash_named(hash_name)

        def one(item: Fields) -> dict[str, Any]:
            message = input_of(item, "missing input for HMAC")
            version = self._keys.protecting(key, fields.whole("key_version"), what="HMAC")
            tag = hashing.mac(version.hmac_key, hash_name, message)
            self._keys.count(key, version)
            return {"hmac": versioned(version, tag)}

        return for_each(fields, one, {}, on_failure=200)

    def _verify_macs(self, fields: Fields, name: str, algorithm: str) -> Response | dict[str, Any]:
        key = self._keys.get(name)
        hash_name = algorithm or fields.text("hash_algorithm", fields.text("algorithm", "sha2-256"))

        def one(item: Fields) -> dict[str, Any]:
            number, rest = parse_versioned(item.text("hmac"), "HMAC")
            version = key.version(number)
            key.check(version, states.VERIFIES, "verification")
            expected = hashing.mac(version.hmac_key, hash_name, input_of(item))
            return {"valid": hmac.compare_digest(expected, decode(rest, "hmac"))}

        return for_each(fields, one, {"valid": False}, on_failure=200)


def _decode_signature(rest: str, jws: bool) -> bytes:
    if not jws:
        return decode(rest, "signature")
    try:
        return base64.b64decode(rest + "=" * (-len(rest) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Invalid("failed to base64url-decode the signature") from None


def _sign_options(fields: Fields, algorithm: str) -> signatures.SignOptions:
    marshaling = fields.text("marshaling_algorithm", "asn1")
    if marshaling not in ("asn1", "jws"):
        raise Invalid(f"invalid marshaling type {marshaling!r}: asn1 or jws")
    return signatures.SignOptions(
        hash_name=algorithm or fields.text("hash_algorithm", fields.text("algorithm", "sha2-256")),
        prehashed=fields.flag("prehashed"),
        scheme=fields.text("signature_algorithm", "pss") or "pss",
        salt=fields.text("salt_length", "auto"),
        jws=marshaling == "jws",
    )
