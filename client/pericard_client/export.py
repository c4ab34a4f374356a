"""The file of a secret key, sealed under a passphrase (Argon2id, AES-256-GCM). The browser reads it, too.

docs/wire-format.md has its format. What a file asks the derivation to cost is bounded on both sides: cheaper
could be guessed, dearer would stop this machine.
"""

import json
import secrets
import unicodedata
from base64 import b64decode, b64encode
from typing import Annotated, Literal

import numpy as np
import pydantic
import rfc8785
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from pericard_client.errors import BadExport, WrongPassphrase
from pericard_client.seal import SecretKey
from pericard_protocol.errors import UsageError
from pericard_protocol.prediction import parameters as sets
from pericard_protocol.prediction.packing import pack, unpack
from pericard_protocol.schema import Section

FORMAT = "pericard-key-export/1"
MAX_BYTES = 1 << 20
SHORTEST = 8  # characters of a passphrase: NIST SP 800-63B, section 5.1.1.2
_SALT, _NONCE, _KEY = 16, 12, 32
# RFC 9106, section 4: its second recommendation, for where 2 GiB are not free, as in a browser.
_MEMORY, _ITERATIONS, _LANES = 65536, 3, 4


def _decoded(given: object) -> bytes:
    """Bytes as they are, or the base64 that a file has in their place."""
    if isinstance(given, bytes):
        return given
    if not isinstance(given, str):
        raise ValueError("this is no base64")
    return b64decode(given, validate=True)


_Base64 = Annotated[
    bytes, pydantic.BeforeValidator(_decoded), pydantic.PlainSerializer(lambda raw: b64encode(raw).decode())
]


class Derivation(Section):
    """How the sealing key comes from the passphrase.

    Attributes:
        algorithm: Argon2id, RFC 9106, version 1.3.
        salt: 16 random bytes, fresh at every sealing.
        memory: KiB; at least OWASP's 19 MiB, at most 1 GiB.
        iterations: passes.
        lanes: degree of parallelism.
    """

    algorithm: Literal["argon2id"] = "argon2id"
    salt: Annotated[_Base64, pydantic.Field(min_length=_SALT, max_length=_SALT)]
    memory: int = pydantic.Field(ge=19456, le=1 << 20)
    iterations: int = pydantic.Field(ge=2, le=16)
    lanes: int = pydantic.Field(ge=1, le=16)


class KeyExport(Section):
    """A sealed secret key. Everything but `sealed` is its associated data, as canonical JSON (RFC 8785).

    Attributes:
        set: the parameter set's name.
        steps: of the Galois keys that were made with it.
        fingerprint: of the keys container, hexadecimal.
        kdf: how the sealing key comes from the passphrase.
        nonce: 12 random bytes. Never twice under a key: a fresh salt makes the key fresh at every sealing.
        sealed: AES-256-GCM of the secret key's words, in NTT form, a block under each prime; the tag is last.
    """

    format: Literal["pericard-key-export/1"] = "pericard-key-export/1"
    set: str
    steps: tuple[Annotated[int, pydantic.Field(ge=1, le=4095)], ...] = pydantic.Field(max_length=2)
    fingerprint: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    kdf: Derivation
    nonce: Annotated[_Base64, pydantic.Field(min_length=_NONCE, max_length=_NONCE)]
    sealed: _Base64

    @pydantic.field_validator("set")
    @classmethod
    def _allowed(cls, name: str) -> str:
        if name not in sets.NAMES:
            raise ValueError(f"no such parameter set; there are {', '.join(sets.NAMES)}")
        return name

    def associated_data(self) -> bytes:
        """What the seal binds beside the key."""
        return rfc8785.dumps(self.model_dump(mode="json", exclude={"sealed"}))

    def to_json(self) -> bytes:
        """The file's content."""
        return json.dumps(self.model_dump(mode="json"), indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> "KeyExport":
        """The export that a file holds, not opened yet.

        Raises:
            BadExport: it is none, or asks for a derivation out of bounds.
        """
        if len(text) > MAX_BYTES:
            raise BadExport("this is no key export: it is too large")
        try:
            return cls.model_validate_json(text)
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise BadExport(f"this is no key export that can be used: {where}: {first['msg']}") from None


def seal_key(secret: SecretKey, passphrase: str) -> KeyExport:
    """The key, sealed under a passphrase.

    Raises:
        UsageError: the passphrase is shorter than 8 characters.
    """
    if len(passphrase) < SHORTEST:
        raise UsageError(f"a passphrase has at least {SHORTEST} characters: some random words are a good one")
    parameters = sets.named(secret.parameters)
    kdf = Derivation(salt=secrets.token_bytes(_SALT), memory=_MEMORY, iterations=_ITERATIONS, lanes=_LANES)
    bare = KeyExport(
        set=secret.parameters,
        steps=secret.steps,
        fingerprint=secret.fingerprint.hex(),
        kdf=kdf,
        nonce=secrets.token_bytes(_NONCE),
        sealed=b"",
    )
    blocks = b"".join(map(pack, secret.words, parameters.bits))
    sealed = AESGCM(_derive(kdf, passphrase)).encrypt(bare.nonce, blocks, bare.associated_data())
    return bare.model_copy(update={"sealed": sealed})


def open_key(export: KeyExport, passphrase: str) -> SecretKey:
    """The key that was sealed.

    Raises:
        WrongPassphrase: it does not open.
        BadExport: what was sealed is no key of these parameters.
    """
    try:
        opened = AESGCM(_derive(export.kdf, passphrase)).decrypt(
            export.nonce, export.sealed, export.associated_data()
        )
    except InvalidTag:
        raise WrongPassphrase("the key does not open: another passphrase, or the file was changed") from None
    parameters = sets.named(export.set)
    sizes = [parameters.block_bytes(prime) for prime in range(len(parameters.primes))]
    if len(opened) != sum(sizes):
        raise BadExport("this export holds no key of its parameters")
    ends = np.cumsum(sizes)
    words = np.stack(
        [
            unpack(opened[end - size : end], bits)
            for end, size, bits in zip(ends, sizes, parameters.bits, strict=True)
        ]
    )
    if (words >= np.array(parameters.primes, np.uint64)[:, None]).any():
        raise BadExport("this export holds no key of its parameters")
    return SecretKey(export.set, export.steps, bytes.fromhex(export.fingerprint), words)


def _derive(kdf: Derivation, passphrase: str) -> bytes:
    """The sealing key. The passphrase is normalised (NFKC), so that every keyboard gives the same bytes."""
    normal = unicodedata.normalize("NFKC", passphrase).encode()
    return Argon2id(
        salt=kdf.salt, length=_KEY, iterations=kdf.iterations, lanes=kdf.lanes, memory_cost=kdf.memory
    ).derive(normal)
