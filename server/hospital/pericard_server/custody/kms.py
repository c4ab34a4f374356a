"""The hospital's long-lived keys in the KMS: here are a token, and a secret only while it is used."""

import re
from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from pericard_edge.kms import (
    KmsClient,
    KmsRefused,
    KmsUnreachable,
    TokenDenied,
    base64_text,
    read_sealed,
)
from pericard_protocol.errors import UsageError
from pericard_protocol.fhe.objects import key_fingerprint
from pericard_protocol.fhe.parameters import MOMENTS
from pericard_protocol.fhe.release import ReleaseError, open_release
from pericard_protocol.proto.uplink_pb2 import SignedKeyBundle
from pericard_protocol.uplink.suites import KemError
from pericard_server.custody.fhe import FheKeys
from pericard_server.errors import NoPrivateKey, TamperedRow

if TYPE_CHECKING:
    from pericard_server.fleet.losses import DeviceLoss

# The names of owners in the KMS: nothing in them can lead to another of its paths.
_OWNER = re.compile(r"\w(?:[\w.-]*\w)?", re.ASCII)


class KmsKeys:
    """Every key stays in the KMS; its policy `server` (`pericard kms roles`) allows what is asked here."""

    def __init__(self, address: str, ca: Path | None, files_key: str) -> None:
        """`files_key` is the transit key under which this server's private files are sealed.

        Raises:
            NoToken: none in the environment.
        """
        self._client = KmsClient.of_environment(address, ca, "server")
        self._files_key = files_key

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    @property
    def kem(self) -> str:
        """The KMS, by the provider that it was started with."""
        return "the KMS"

    def create(self) -> None:
        """Nothing: the KMS makes a key when it is first asked for it."""

    def check(self) -> None:
        """Asks for the identity key, which shows that the KMS is open and the token good."""
        self.identity_pem()

    def identity_pem(self) -> bytes:
        """The public half of the identity key; the KMS signs."""
        return str(self._ask("GET", "bundles/identity")["public_key"]).encode()

    def bundle(self, suites: list[int], now: float) -> SignedKeyBundle:
        """Today's signed key bundle, by the KMS's clock."""
        wanted = ",".join(map(str, suites))
        return SignedKeyBundle.FromString(
            b64decode(self._ask("GET", f"bundles/today?suites={wanted}")["bundle"])
        )

    def decapsulate(self, key_id: str, suite: int, wrapped: bytes) -> bytes:
        """The session secret; the private key stays in the KMS.

        Raises:
            NoPrivateKey, KemError: for good.
            TokenDenied: our token may not.
            Unavailable: the KMS cannot answer now.
        """
        absent = NoPrivateKey("the session is sealed to a key that this hospital does not hold")
        if not key_id.replace("-", "").isalnum():  # the peer's text never becomes another path
            raise absent
        try:
            answer = self._client.call(
                "POST", f"bundles/keys/{key_id}/decapsulate", {"encapsulation": base64_text(wrapped)}
            )
        except KmsRefused as error:
            if error.status == 404:
                raise absent from None
            if error.status == 400:
                raise KemError(f"the KMS does not open the session's secret: {error}") from None
            raise _ours(error, "to open sessions") from None
        return b64decode(answer["secret"])

    def new_key(self, owner: str, quarter: str) -> tuple[bytes, bytes]:
        """A fresh data key under the owner's own wrapping key, which dies when the patient is erased.

        Raises:
            UsageError: the owner's name has no place in a path.
            Unavailable: the KMS cannot answer now.
        """
        if not _OWNER.fullmatch(owner):
            raise UsageError(f"{owner!r} is no name in the KMS: register the patient under another pseudonym")
        answer = self._ask(
            "POST", f"patients/patients/{owner}/datakey", {"associated_data": base64_text(quarter.encode())}
        )
        return b64decode(answer["plaintext"]), str(answer["ciphertext"]).encode()

    def unwrap(self, owner: str, quarter: str, wrapped: bytes) -> bytes:
        """The data key.

        Raises:
            TamperedRow: changed, or moved from another owner or quarter; or the patient was erased.
            TokenDenied: our token may not.
            Unavailable: the KMS cannot answer now.
        """
        if not _OWNER.fullmatch(owner):  # it comes from the database, and our token reaches further paths
            raise TamperedRow("the data key's owner was changed: it is no name in the KMS")
        body = {
            "ciphertext": wrapped.decode(errors="replace"),
            "associated_data": base64_text(quarter.encode()),
        }
        try:
            answer = self._client.call("POST", f"patients/patients/{owner}/unwrap", body)
        except KmsRefused as error:
            if error.status in (400, 404):
                raise TamperedRow(
                    f"the data key does not unwrap: it was changed or moved ({error})"
                ) from None
            raise _ours(error, "to unwrap data keys") from None
        return b64decode(answer["plaintext"])

    def fhe_keys(self, make: Callable[[], FheKeys]) -> FheKeys:
        """The FHE keys from the KMS's custody; the secret one arrives sealed to a key made for this call."""
        parameters = MOMENTS
        path = f"fhe/keys/{parameters.name}"
        status, _ = self._client.raw("GET", path)
        if status == 404:
            made = make()
            size = len(made.secret).to_bytes(4, "big")
            body = {
                "scheme": "ckks",
                "parameters": parameters.name,
                # The public key is kept with the secret one: the cloud needs neither.
                "secret": base64_text(size + made.secret + made.public),
                "evaluation": base64_text(made.relinearisation),
            }
            self._ask("POST", path, body)
            return made
        evaluation = b64decode(self._ask("GET", f"{path}/evaluation")["evaluation"])
        # The secret key must be that of this evaluation key: its fingerprint is bound into the box.
        fingerprint = key_fingerprint(parameters.name, evaluation).hex()
        opened = self._release(parameters.name, path, fingerprint)
        end = 4 + int.from_bytes(opened[:4], "big")
        return FheKeys(parameters, opened[4:end], opened[end:], evaluation)

    def lost_devices(self) -> "Sequence[DeviceLoss]":
        """Every loss that the KMS was told of."""
        from pericard_server.fleet.losses import DeviceLoss

        try:
            return [
                DeviceLoss(int(one["device"]), _in_us(one["since"]), one["until"] and _in_us(one["until"]))
                for one in self._ask("GET", "devices/quarantine")["losses"]
            ]
        except (KeyError, TypeError, ValueError, OverflowError):
            raise KmsUnreachable(
                "the KMS's answer on lost devices cannot be read: is this our KMS?"
            ) from None

    def read_secret(self, path: Path, what: str) -> bytes:
        """A private file that the KMS sealed."""
        try:
            return read_sealed(self._client, self._files_key, path, what)
        except KmsRefused as error:
            if error.denied:
                raise _ours(error, f"to open {what} {path}") from None
            raise

    def _release(self, name: str, path: str, fingerprint: str) -> bytes:
        recipient = MLKEM768PrivateKey.generate()
        public = recipient.public_key().public_bytes_raw()
        answer = self._ask("POST", f"{path}/release", {"recipient": base64_text(public)})
        try:
            return open_release(
                b64decode(answer["box"]),
                b64decode(answer["encapsulation"]),
                name,
                fingerprint,
                recipient,
            )
        except ReleaseError as error:
            raise UsageError(f"{error}: is this our KMS?") from None

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            return self._client.call(method, path, body)
        except KmsRefused as error:
            raise _ours(error, f"{method} {path.partition('?')[0]}") from None


def _in_us(seconds: float) -> int:
    return int(float(seconds) * 1e6)


def _ours(error: KmsRefused, what: str) -> UsageError:
    """A refusal that is nobody's lie but the fault of how the hospital is set up."""
    if error.denied:
        return TokenDenied(what, "server")
    return UsageError(f"{error}, asked for {what}: is this our KMS?")
