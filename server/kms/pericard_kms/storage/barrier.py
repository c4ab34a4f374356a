"""The barrier: every stored value is AES-256-GCM under a key of a rotating keyring, bound to its name.

Does no storage: names and bytes in, bytes out. The keyring itself is sealed under the root key, which
the seal (Shamir, PKCS#11 or a passphrase) protects.
"""

import os
import struct
from dataclasses import dataclass, field

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pericard_kms.errors import Tampered

KEY_BYTES = 32
NONCE_BYTES = 12
_HEADER = struct.Struct(">BI")  # format, term
_FORMAT = 1
# Random 96-bit nonces: SP 800-38D section 8.3 allows 2^32 seals under one key (collision below 2^-32).
# We rotate at a quarter of that: seals that a crash left uncounted can then never pass the limit.
SEALS_PER_TERM = 2**30


def _bound(term: int, name: str) -> bytes:
    """Associated data: a value moved to another name, or labelled with another term, does not open."""
    return b"pericard kms barrier\x00" + _HEADER.pack(_FORMAT, term) + name.encode()


def seal_under(key: bytes, name: str, plaintext: bytes, term: int = 0) -> bytes:
    """Seals a value under one given key: how the root key seals the keyring (term 0)."""
    nonce = os.urandom(NONCE_BYTES)
    box = AESGCM(key).encrypt(nonce, plaintext, _bound(term, name))
    return _HEADER.pack(_FORMAT, term) + nonce + box


def open_under(key: bytes, name: str, blob: bytes) -> bytes:
    """The inverse of `seal_under`.

    Raises:
        Tampered: the key is wrong, or the blob was changed, or belongs to another name.
    """
    if len(blob) < _HEADER.size + NONCE_BYTES + 16:
        raise Tampered(f"the stored value {name!r} is cut short")
    _, term = _HEADER.unpack_from(blob)
    nonce = blob[_HEADER.size : _HEADER.size + NONCE_BYTES]
    try:
        return AESGCM(key).decrypt(nonce, blob[_HEADER.size + NONCE_BYTES :], _bound(term, name))
    except InvalidTag:
        raise Tampered(f"the stored value {name!r} does not open: changed, moved, or the wrong key") from None


@dataclass(slots=True)
class Term:
    """One key of the ring: when it was made and how many values it has sealed, at least."""

    key: bytes = field(repr=False)
    created: float
    seals: int = 0
    cipher: AESGCM = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.cipher = AESGCM(self.key)


class BarrierKeys:
    """The barrier keys by term; the highest seals, all open."""

    def __init__(self, terms: dict[int, Term]) -> None:
        self.terms = terms
        self.active = max(terms)

    def __repr__(self) -> str:
        return f"BarrierKeys(terms={sorted(self.terms)})"

    @classmethod
    def fresh(cls, now: float) -> "BarrierKeys":
        """A ring of one new key."""
        return cls({1: Term(os.urandom(KEY_BYTES), now)})

    def rotate(self, now: float) -> int:
        """Adds a new active key; returns its term. Old values still open under theirs."""
        self.active += 1
        self.terms[self.active] = Term(os.urandom(KEY_BYTES), now)
        return self.active

    def seal(self, name: str, plaintext: bytes) -> bytes:
        """`plaintext` under the active key, bound to `name`."""
        term = self.terms[self.active]
        term.seals += 1
        nonce = os.urandom(NONCE_BYTES)
        box = term.cipher.encrypt(nonce, plaintext, _bound(self.active, name))
        return _HEADER.pack(_FORMAT, self.active) + nonce + box

    def open(self, name: str, blob: bytes) -> bytes:
        """The value sealed as `name`.

        Raises:
            Tampered: changed, moved from another name, or sealed under a key that this ring does not hold.
        """
        if len(blob) < _HEADER.size + NONCE_BYTES + 16:
            raise Tampered(f"the stored value {name!r} is cut short")
        form, number = _HEADER.unpack_from(blob)
        term = self.terms.get(number)
        if form != _FORMAT or term is None:
            raise Tampered(f"the stored value {name!r} names the unknown barrier key {number}")
        try:
            return term.cipher.decrypt(
                blob[_HEADER.size : _HEADER.size + NONCE_BYTES],
                blob[_HEADER.size + NONCE_BYTES :],
                _bound(number, name),
            )
        except InvalidTag:
            raise Tampered(f"the stored value {name!r} does not open: it was changed or moved") from None

    def worn(self) -> bool:
        """Whether the active key has sealed enough to be rotated."""
        return self.terms[self.active].seals >= SEALS_PER_TERM

    def dump(self) -> bytes:
        """The ring as bytes, to be sealed under the root key and nothing else."""
        return orjson.dumps(
            {
                str(number): {"key": term.key.hex(), "created": term.created, "seals": term.seals}
                for number, term in self.terms.items()
            }
        )

    @classmethod
    def load(cls, data: bytes) -> "BarrierKeys":
        """The inverse of `dump`."""
        return cls(
            {
                int(number): Term(bytes.fromhex(term["key"]), term["created"], term["seals"])
                for number, term in orjson.loads(data).items()
            }
        )


def term_of(blob: bytes) -> int:
    """The barrier key that a stored value names."""
    number: int = _HEADER.unpack_from(blob)[1]
    return number
