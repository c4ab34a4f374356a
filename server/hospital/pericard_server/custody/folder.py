"""The hospital's long-lived keys in a folder of its own (0700), every file 0600 or refused.

For a site without a KMS: `custody/kms.py` takes this folder's place. ML-DSA-65 identity, the wrapping key of
the data keys, one KEM private key a day and suite, and the FHE keys.
"""

import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pericard_edge import files
from pericard_protocol.proto.uplink_pb2 import SignedKeyBundle
from pericard_protocol.uplink.bundle import DailyKey, first_offered, sign_bundle
from pericard_protocol.uplink.providers import Provider
from pericard_protocol.uplink.suites import suite_of
from pericard_server.custody import fhe
from pericard_server.errors import KeyFileError, NoPrivateKey, TamperedRow

if TYPE_CHECKING:
    from pericard_server.fleet.losses import DeviceLoss

_IDENTITY = "identity.seed"
_WRAPPING = "wrapping.key"
DATA_KEY_BYTES = 32
_NONCE_BYTES = 12


class KeyFolder:
    """The folder's keys, read when they are needed."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        """`provider` makes the KEM keys and opens what is sealed to them."""
        self._folder, self._provider = folder, provider
        self._making = threading.Lock()

    @property
    def kem(self) -> str:
        """The provider and its version."""
        return str(self._provider)

    def create(self) -> None:
        """Makes what is missing; keeps what is there."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self._folder / _IDENTITY).exists():
            self._write(_IDENTITY, MLDSA65PrivateKey.generate().private_bytes_raw())
        if not (self._folder / _WRAPPING).exists():
            self._write(_WRAPPING, secrets.token_bytes(32))

    def identity(self) -> MLDSA65PrivateKey:
        """The hospital's signing key (FIPS 204), which gateways pin."""
        return MLDSA65PrivateKey.from_seed_bytes(self._read(_IDENTITY, 32))

    def identity_pem(self) -> bytes:
        """Its public half, for enrolment."""
        return self.identity().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def check(self) -> None:
        """Reads the two keys that nothing works without."""
        self.identity()
        self._read(_WRAPPING, 32)

    def new_key(self, owner: str, quarter: str) -> tuple[bytes, bytes]:
        """A fresh (data key, nonce ‖ AES-256-GCM-SIV of it), bound to owner and quarter."""
        nonce, data_key = secrets.token_bytes(_NONCE_BYTES), secrets.token_bytes(DATA_KEY_BYTES)
        return data_key, nonce + self._wrapping().encrypt(nonce, data_key, _bound(owner, quarter))

    def unwrap(self, owner: str, quarter: str, wrapped: bytes) -> bytes:
        """The data key.

        Raises:
            TamperedRow: changed, another owner's or quarter's, or wrapped by another hospital.
        """
        try:
            return self._wrapping().decrypt(
                wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], _bound(owner, quarter)
            )
        except (InvalidTag, ValueError):
            raise TamperedRow("the data key does not unwrap: it was changed or moved") from None

    def _wrapping(self) -> AESGCMSIV:
        return AESGCMSIV(self._read(_WRAPPING, 32))

    def fhe_keys(self, make: Callable[[], fhe.FheKeys]) -> fhe.FheKeys:
        """The FHE keys, from a folder beside the others."""
        if not (folder := self._folder / "fhe").exists():
            fhe.save_fhe_keys(make(), folder)
        return fhe.load_fhe_keys(folder)

    def lost_devices(self) -> "Sequence[DeviceLoss]":
        """None: the folder has no device keys. An operator says which are lost: `pericard server device`."""
        return ()

    def read_secret(self, path: Path, what: str) -> bytes:
        """A private file, as it is."""
        return files.read_secret(path, what)

    def bundle(self, suites: list[int], now: float) -> SignedKeyBundle:
        """Today's signed key bundle (UTC) of the first suite in `suites` that is offered."""
        chosen = first_offered(suites, self._provider.suites)
        day = DailyKey.at(now, chosen.id)
        public = self._folder / f"kem-{day.key_id}.pub"
        with self._making:
            if not public.exists():
                private_bytes, public_bytes = chosen.generate()
                self._write(f"kem-{day.key_id}.key", private_bytes)
                self._write(public.name, public_bytes)
        return sign_bundle(day.bundle(public.read_bytes()), self.identity())

    def decapsulate(self, key_id: str, suite: int, wrapped: bytes) -> bytes:
        """The 32-byte secret that a gateway wrapped to a bundle of this hospital.

        Raises:
            NoPrivateKey: the private key never existed here, or was destroyed.
            KemError: the encapsulation has the wrong form.
        """
        known = {path.name for path in self._folder.glob("kem-*.key")}  # the peer's text never becomes a path
        name = f"kem-{key_id}.key"
        if name not in known or not key_id.endswith(f"-{suite_of(suite).id:04x}"):
            raise NoPrivateKey("the session is sealed to a key that this hospital does not hold")
        return suite_of(suite, self._provider.suites).decapsulate(self._read(name), wrapped)

    def _read(self, name: str, size: int | None = None) -> bytes:
        path = self._folder / name
        found = files.read_secret(path, "key")
        if size is not None and len(found) != size:
            raise KeyFileError(f"{path} must hold {size} bytes, not {len(found)}: restore it from a backup")
        return found

    def _write(self, name: str, content: bytes) -> None:
        files.write(self._folder / name, content)


def _bound(owner: str, quarter: str) -> bytes:
    return f"data key {quarter} {owner}".encode()
