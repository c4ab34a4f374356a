"""The transit engine's work on data: encrypt, decrypt, data keys, sign, verify, HMAC, hash, random, KEM.

Names, fields and answers are those of Vault's transit API; every operation takes `batch_input`.
"""

import base64
import hmac
import os
import re
from collections.abc import Callable
from typing import Any

from pericard_kms.crypto import aead, hashing, kem, key_material, signatures, wrapping
from pericard_kms.engines import states
from pericard_kms.engines.keys import Key, KeyBox, Version
from pericard_kms.errors import Invalid, RequestError
from pericard_kms.fields import Fields, decode, encode
from pericard_kms.routing import Answer, Request

# Not [0-9]*: an int() of a million digits is an attack, and no key has a billion versions.
_BOX = re.compile(r"vault:v([1-9][0-9]{0,8}):(.*)", re.ASCII | re.DOTALL)
MAX_RANDOM = 128 * 1024

Item = Callable[[Fields], dict[str, Any]]


def _parse(box: str, what: str = "ciphertext") -> tuple[int, str]:
    """(version, encoded rest) of a `vault:vN:` text."""
    match = _BOX.fullmatch(box)
    if match is None:
        raise Invalid(f"invalid {what}: no prefix" if not box.startswith("vault:v") else f"invalid {what}")
    return int(match[1]), match[2]


def _each(
    fields: Fields, work: Item, empty: dict[str, Any], on_failure: int = 400
) -> Answer | dict[str, Any]:
    """Runs `work` for the request or for each item of its batch; a failed item does not stop the others.

    Returns:
        The single result, or `batch_results`; when an item failed, with the fields `empty` in its place and
        the status `on_failure` (or the request's own `partial_failure_response_code`).
    """
    batch = fields.batch()
    if batch is None:
        return work(fields)
    results = []
    failed = False
    for item in batch:
        try:
            result = work(item)
        except RequestError as error:
            failed = True
            result = {**empty, "error": str(error)}
        result["reference"] = item.text("reference")
        results.append(result)
    status = 200
    if failed:
        status = fields.whole("partial_failure_response_code", on_failure)
        if not 200 <= status <= 599:
            raise Invalid("partial_failure_response_code is an HTTP status")
    return Answer({"batch_results": results}, status)


def _contexts(fields: Fields) -> None:
    """Refuses a batch in which only some items have a context: half of it would be lost silently."""
    items = fields.batch() or []
    if len({"context" in item for item in items}) > 1:
        raise Invalid("context should be set either in all the request blocks or in none")


class Transit:
    """The data operations over a box of keys."""

    def __init__(self, keys: KeyBox) -> None:
        self._keys = keys

    # -- symmetric and RSA encryption -------------------------------------------------------------------

    def encrypt(self, request: Request, name: str) -> Answer | dict[str, Any]:
        """POST encrypt/{name}; the API made the key when it was missing."""
        fields = request.fields
        key = self._keys.get(name)
        if not key.kind.encrypts:
            raise Invalid(f"key type {key.kind.name} not supported for this operation")
        _contexts(fields)

        def one(item: Fields) -> dict[str, Any]:
            if item.raw.get("plaintext") is None:
                raise Invalid("missing plaintext to encrypt")
            plaintext = decode(item.raw["plaintext"], "plaintext")
            box, version = self._seal(key, plaintext, item)
            return {"ciphertext": box, "key_version": version.number}

        return _each(fields, one, {})

    def decrypt(self, request: Request, name: str) -> Answer | dict[str, Any]:
        """POST decrypt/{name}."""
        key = self._keys.get(name)
        _contexts(request.fields)
        return _each(
            request.fields, lambda item: {"plaintext": encode(self._open(key, item))}, {"plaintext": ""}
        )

    def rewrap(self, request: Request, name: str) -> Answer | dict[str, Any]:
        """POST rewrap/{name}: under the latest version, the plaintext never leaving."""
        key = self._keys.get(name)
        _contexts(request.fields)

        def one(item: Fields) -> dict[str, Any]:
            box, version = self._seal(key, self._open(key, item), item)
            return {"ciphertext": box, "key_version": version.number}

        return _each(request.fields, one, {})

    def data_key(self, request: Request, form: str, name: str) -> dict[str, Any]:
        """POST datakey/{plaintext|wrapped}/{name}: a fresh key, wrapped, and in the clear when asked."""
        if form not in ("plaintext", "wrapped"):
            raise Invalid("Invalid path, must be 'plaintext' or 'wrapped'")
        key = self._keys.get(name)
        bits = request.fields.whole("bits", 256)
        if bits not in (128, 256, 512):
            raise Invalid("invalid bit length: 128, 256 or 512")
        fresh = os.urandom(bits // 8)
        box, version = self._seal(key, fresh, request.fields)
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

    def _seal(self, key: Key, plaintext: bytes, item: Fields) -> tuple[str, Version]:
        version = self._keys.protecting(key, item.whole("key_version"))
        if key.kind.kind == "aead":
            secret, associated = self._key_of(key, version, item)
            box = aead.encrypt(key.kind, secret, plaintext, associated, convergent=key.convergent)
        elif key.kind.kind == "rsa":
            if "associated_data" in item:
                raise Invalid(f"'associated_data' provided for non-AEAD cipher suite {key.kind.name}")
            box = wrapping.rsa_encrypt(version.public(key.kind), plaintext)
        else:
            raise Invalid(f"key type {key.kind.name} does not support encryption")
        self._keys.count(key, version)
        return f"vault:v{version.number}:{encode(box)}", version

    def _open(self, key: Key, item: Fields) -> bytes:
        if item.raw.get("ciphertext") is None:
            raise Invalid("missing ciphertext to decrypt")
        number, rest = _parse(item.text("ciphertext"))
        version = key.version(number)
        key.check(version, states.OPENS, "decryption")
        box = decode(rest, "ciphertext")
        if key.kind.kind == "aead":
            secret, associated = self._key_of(key, version, item)
            return aead.decrypt(key.kind, secret, box, associated)
        if key.kind.kind == "rsa":
            return wrapping.rsa_decrypt(version.private(key.kind), box)
        raise Invalid(f"key type {key.kind.name} does not support decryption")

    # -- signatures and MACs ----------------------------------------------------------------------------

    def sign(self, request: Request, name: str, algorithm: str = "") -> Answer | dict[str, Any]:
        """POST sign/{name}[/{hash}]."""
        fields = request.fields
        key = self._keys.get(name, "signing key not found")
        if not key.kind.signs:
            raise Invalid(f"key type {key.kind.name} does not support signing")
        options = _sign_options(fields, algorithm)

        def one(item: Fields) -> dict[str, Any]:
            message = _input(item)
            version = self._keys.protecting(key, fields.whole("key_version"), what="signing")
            private, public = self._signer(key, version, item)
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

        return _each(fields, one, {"key_version": 0}, on_failure=200)

    def verify(self, request: Request, name: str, algorithm: str = "") -> Answer | dict[str, Any]:
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
            number, rest = _parse(item.text("signature"), "signature")
            version = key.version(number)
            key.check(version, states.VERIFIES, "verification")
            signature = _unsign(rest, options.jws)
            public = version.public(key.kind)
            if key.derived:
                public = self._signer(key, version, item)[0].public_key()
            return {"valid": signatures.verify(key.kind, public, _input(item), signature, options)}

        return _each(fields, one, {"valid": False}, on_failure=200)

    def _signer(self, key: Key, version: Version, item: Fields) -> tuple[Any, bytes | None]:
        """(private key object, its raw public key when a context derived it)."""
        if not key.derived:
            return version.private(key.kind), None
        context = item.data("context")
        if not context:
            raise Invalid("missing 'context' for key derivation; the key was created using a derived key")
        private = key_material.load_private(key.kind, key_material.derive(version.material, context))
        return private, private.public_key().public_bytes_raw()

    def mac(self, request: Request, name: str, algorithm: str = "") -> Answer | dict[str, Any]:
        """POST hmac/{name}[/{hash}]."""
        fields = request.fields
        key = self._keys.get(name)
        hash_name = algorithm or fields.text("algorithm", "sha2-256")
        hashing.hash_named(hash_name)

        def one(item: Fields) -> dict[str, Any]:
            message = _input(item, "missing input for HMAC")
            version = self._keys.protecting(key, fields.whole("key_version"), what="HMAC")
            tag = hashing.mac(version.hmac_key, hash_name, message)
            self._keys.count(key, version)
            return {"hmac": f"vault:v{version.number}:{encode(tag)}"}

        return _each(fields, one, {}, on_failure=200)

    def _verify_macs(self, fields: Fields, name: str, algorithm: str) -> Answer | dict[str, Any]:
        key = self._keys.get(name)
        hash_name = algorithm or fields.text("hash_algorithm", fields.text("algorithm", "sha2-256"))

        def one(item: Fields) -> dict[str, Any]:
            number, rest = _parse(item.text("hmac"), "HMAC")
            version = key.version(number)
            key.check(version, states.VERIFIES, "verification")
            expected = hashing.mac(version.hmac_key, hash_name, _input(item))
            return {"valid": hmac.compare_digest(expected, decode(rest, "hmac"))}

        return _each(fields, one, {"valid": False}, on_failure=200)

    # -- ML-KEM -----------------------------------------------------------------------------------------

    def encapsulate(self, request: Request, name: str) -> Answer | dict[str, Any]:
        """POST encapsulate/{name}: a fresh shared secret and its ciphertext for this key."""
        key = self._kem(name)

        def one(item: Fields) -> dict[str, Any]:
            version = self._keys.protecting(key, item.whole("key_version"), what="encapsulation")
            ciphertext, shared = kem.encapsulate(version.public(key.kind))
            self._keys.count(key, version)
            return {
                "ciphertext": f"vault:v{version.number}:{encode(ciphertext)}",
                "shared_secret": encode(shared),
                "key_version": version.number,
            }

        return _each(request.fields, one, {})

    def decapsulate(self, request: Request, name: str) -> Answer | dict[str, Any]:
        """POST decapsulate/{name}: the shared secret of a ciphertext."""
        key = self._kem(name)

        def one(item: Fields) -> dict[str, Any]:
            number, rest = _parse(item.text("ciphertext"))
            version = key.version(number)
            key.check(version, states.OPENS, "decapsulation")
            shared = kem.decapsulate(version.private(key.kind), decode(rest, "ciphertext"))
            return {"shared_secret": encode(shared)}

        return _each(request.fields, one, {})

    def _kem(self, name: str) -> Key:
        key = self._keys.get(name)
        if key.kind.kind != "ml-kem":
            raise Invalid(
                f"key type {key.kind.name} does not encapsulate: make an ml-kem-768 or ml-kem-1024 key"
            )
        return key


def _input(item: Fields, missing: str = "missing input") -> bytes:
    if item.raw.get("input") is None:
        raise Invalid(missing)
    return decode(item.raw["input"], "input")


def _unsign(rest: str, jws: bool) -> bytes:
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


def random_bytes(request: Request, source: str = "", size: str = "") -> dict[str, Any]:
    """POST random[/{source}][/{bytes}]: bytes of the operating system's generator."""
    fields = request.fields
    if source.isdigit():
        source, size = "", source
    if source not in ("", "platform", "all", "seal"):
        raise Invalid(f"unsupported entropy source {source!r}")
    count = Fields({"bytes": size or fields.raw.get("bytes")}).whole("bytes", 32)
    if not 1 <= count <= MAX_RANDOM:
        raise Invalid(f'"bytes" must be between 1 and {MAX_RANDOM}')
    return {"random_bytes": _formatted(os.urandom(count), fields.text("format", "base64"))}


def hashed(request: Request, algorithm: str = "") -> dict[str, Any]:
    """POST hash[/{algorithm}]: a digest of `input`."""
    fields = request.fields
    message = _input(fields, "input missing")
    digest = hashing.digest(algorithm or fields.text("algorithm", "sha2-256"), message)
    return {"sum": _formatted(digest, fields.text("format", "hex"))}


def _formatted(data: bytes, form: str) -> str:
    if form not in ("hex", "base64"):
        raise Invalid(f'unsupported encoding format {form}; must be "hex" or "base64"')
    return data.hex() if form == "hex" else encode(data)
