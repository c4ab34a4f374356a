"""What protects the root key while the KMS is down: shares, a passphrase, or a PKCS#11 token.

Each seal turns 32 bytes of root key into a wrapped form and back. The wrapped form and its parameters lie
in the store in the clear; they open nothing without the keepers' shares, the passphrase or the token.
"""

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from pericard_kms.crypto import shamir
from pericard_kms.errors import Invalid, Misused, Tampered
from pericard_kms.storage.barrier import KEY_BYTES, open_under, seal_under

_NAME = "core/root"
# RFC 9106, section 4: the first recommended option (t=1, p=4, m=2 GiB) is too much for a ward's small
# machine, so the second: t=3, p=4, m=64 MiB.
_ARGON2 = {"iterations": 3, "lanes": 4, "memory_cost": 64 * 1024}  # memory in KiB


class Seal(Protocol):
    """Wraps the root key."""

    kind: str

    def wrap(self, root: bytes) -> dict[str, Any]:
        """The record to store: what `unwrap` needs, and nothing that opens it."""

    def unwrap(self, record: dict[str, Any]) -> bytes:
        """The root key.

        Raises:
            Tampered: the secret is not the one that sealed it, or the record was changed.
        """


def wrap_under(key: bytes, root: bytes, kind: str) -> str:
    """The root key under an unseal key, with the seal's kind bound, as text."""
    return base64.b64encode(seal_under(key, f"{_NAME}/{kind}", root)).decode()


def unwrap_under(key: bytes, wrapped: str, kind: str) -> bytes:
    """The inverse of `wrap_under`."""
    return open_under(key, f"{_NAME}/{kind}", base64.b64decode(wrapped))


def shamir_record(root: bytes, shares: int, threshold: int) -> tuple[dict[str, Any], list[bytes]]:
    """Wraps the root key under a fresh unseal key and splits that: (the record to store, the shares).

    The shares split an unseal key rather than the root key, so new shares (`sys/rekey`) need no new root key.
    """
    key = os.urandom(KEY_BYTES)
    split = shamir.split(key, shares, threshold)
    record = {"type": "shamir", "n": shares, "t": threshold, "root": wrap_under(key, root, "shamir")}
    return record, split


def read_share(text: str) -> bytes:
    """A key share as keepers type it, hex or base64.

    Raises:
        Invalid: it is neither, or not 33 bytes; so a wrong paste is noticed at once.
    """
    try:
        share = bytes.fromhex(text) if len(text) == 66 else base64.b64decode(text, validate=True)
    except ValueError:
        share = b""
    if len(share) != KEY_BYTES + 1:
        raise Invalid("'key' must be a valid hex or base64 key share of 33 bytes")
    return share


def shamir_unwrap(record: dict[str, Any], shares: list[bytes]) -> bytes:
    """The root key from enough shares.

    Raises:
        Tampered: the shares are not of this seal.
    """
    return unwrap_under(shamir.combine(shares), record["root"], "shamir")


@dataclass(slots=True)
class PassphraseSeal:
    """Argon2id over a passphrase: for one machine and one operator."""

    passphrase: bytes
    kind: str = "passphrase"

    def __repr__(self) -> str:
        return "PassphraseSeal()"

    def _key(self, salt: bytes, cost: dict[str, int]) -> bytes:
        return Argon2id(
            salt=salt,
            length=KEY_BYTES,
            iterations=cost["iterations"],
            lanes=cost["lanes"],
            memory_cost=cost["memory_cost"],
        ).derive(self.passphrase)

    def wrap(self, root: bytes) -> dict[str, Any]:
        """The record: salt, cost and the wrapped root key."""
        if len(self.passphrase) < 12:
            raise Misused("the passphrase is shorter than 12 bytes: take five random words")
        salt = os.urandom(16)  # RFC 9106, section 3.1: 16 bytes is recommended
        wrapped = wrap_under(self._key(salt, _ARGON2), root, self.kind)
        return {"type": self.kind, "salt": salt.hex(), "cost": _ARGON2, "root": wrapped}

    def unwrap(self, record: dict[str, Any]) -> bytes:
        """The root key; see `Seal.unwrap`."""
        # The record is outside the barrier: bound what a changed one can make us compute.
        cost = record["cost"]
        if cost["memory_cost"] > 4 * 1024 * 1024 or cost["iterations"] > 100 or cost["lanes"] > 64:
            raise Tampered("the seal's record asks for an absurd Argon2id cost: it was changed")
        return unwrap_under(self._key(bytes.fromhex(record["salt"]), cost), record["root"], self.kind)


@dataclass(slots=True)
class Pkcs11Seal:
    """An AES-256 key inside a PKCS#11 token, non-extractable: the token does the wrapping (CKM_AES_GCM)."""

    module: Path
    token: str
    pin: str
    label: str = "pericard-kms-root"
    kind: str = "pkcs11"

    def __repr__(self) -> str:
        return f"Pkcs11Seal(token={self.token!r}, label={self.label!r})"

    def wrap(self, root: bytes) -> dict[str, Any]:
        """The record: salt, cost and the wrapped root key."""
        iv = os.urandom(12)  # random is enough: the token's key seals at initialisation only
        with _Session(self) as token:
            sealed = token.encrypt(iv, root, make=True)
        return {
            "type": self.kind,
            "label": self.label,
            "iv": iv.hex(),
            "root": base64.b64encode(sealed).decode(),
        }

    def unwrap(self, record: dict[str, Any]) -> bytes:
        """The root key; see `Seal.unwrap`."""
        with _Session(self) as token:
            return token.decrypt(bytes.fromhex(record["iv"]), base64.b64decode(record["root"]))


class _Session:
    """A logged-in PKCS#11 session, closed with the block."""

    _AAD = b"pericard kms root"

    def __init__(self, seal: Pkcs11Seal) -> None:
        try:
            import PyKCS11
        except ImportError:
            raise Misused(
                "the PKCS#11 seal needs the package PyKCS11: install pericard-kms[pkcs11]"
            ) from None
        self._p11: Any = PyKCS11
        self._seal = seal
        self._session: Any = None

    def __enter__(self) -> "_Session":
        library = self._p11.PyKCS11Lib()
        try:
            library.load(str(self._seal.module))
            slots = [
                slot
                for slot in library.getSlotList(tokenPresent=True)
                if library.getTokenInfo(slot).label.strip("\0 ") == self._seal.token
            ]
            if not slots:
                raise Misused(f"no PKCS#11 token is labelled {self._seal.token!r}")
            self._session = library.openSession(
                slots[0], self._p11.CKF_SERIAL_SESSION | self._p11.CKF_RW_SESSION
            )
            self._session.login(self._seal.pin)
        except self._p11.PyKCS11Error as error:
            raise Misused(f"the PKCS#11 token {self._seal.token!r} cannot be used: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._session.logout()
        self._session.closeSession()

    def _find(self) -> Any:
        p11 = self._p11
        found = self._session.findObjects(
            [(p11.CKA_CLASS, p11.CKO_SECRET_KEY), (p11.CKA_LABEL, self._seal.label)]
        )
        return found[0] if found else None

    def _make(self) -> Any:
        p11 = self._p11
        template = [
            (p11.CKA_CLASS, p11.CKO_SECRET_KEY),
            (p11.CKA_KEY_TYPE, p11.CKK_AES),
            (p11.CKA_VALUE_LEN, KEY_BYTES),
            (p11.CKA_LABEL, self._seal.label),
            (p11.CKA_TOKEN, True),
            (p11.CKA_PRIVATE, True),
            (p11.CKA_SENSITIVE, True),
            (p11.CKA_EXTRACTABLE, False),
            (p11.CKA_ENCRYPT, True),
            (p11.CKA_DECRYPT, True),
        ]
        return self._session.generateKey(template)

    def _mechanism(self, iv: bytes) -> Any:
        return self._p11.AES_GCM_Mechanism(iv, self._AAD, 128)

    def encrypt(self, iv: bytes, root: bytes, *, make: bool) -> bytes:
        """Seals under the token's key, made when there is none."""
        key = self._find() or (self._make() if make else None)
        return bytes(self._session.encrypt(key, root, self._mechanism(iv)))

    def decrypt(self, iv: bytes, sealed: bytes) -> bytes:
        """Opens what `encrypt` sealed."""
        key = self._find()
        if key is None:
            raise Misused(f"the token holds no key labelled {self._seal.label!r}: is it the right token?")
        try:
            return bytes(self._session.decrypt(key, sealed, self._mechanism(iv)))
        except self._p11.PyKCS11Error:
            raise Tampered("the token refused the wrapped root key: changed, or another token's") from None
