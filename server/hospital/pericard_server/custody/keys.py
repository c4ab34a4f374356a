"""What the server asks of whoever keeps the hospital's keys: a folder of files, or the KMS."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pericard_protocol.proto.uplink_pb2 import SignedKeyBundle
from pericard_server.custody.fhe import FheKeys

if TYPE_CHECKING:
    from pericard_server.fleet.losses import DeviceLoss


class Wrapping(Protocol):
    """Wraps data keys, bound to their quarter and owner: a patient, or an unassigned device."""

    def new_key(self, owner: str, quarter: str) -> tuple[bytes, bytes]:
        """A fresh (32-byte data key, its wrapped form)."""

    def unwrap(self, owner: str, quarter: str, wrapped: bytes) -> bytes:
        """The data key. Raises TamperedRow when it was not wrapped for this owner and quarter."""


class HospitalKeys(Wrapping, Protocol):
    """The hospital's long-lived keys."""

    @property
    def kem(self) -> str:
        """Who computes the ML-KEM of its sessions, for operators."""

    def create(self) -> None:
        """Makes what is missing; keeps what is there."""

    def check(self) -> None:
        """Raises when the keys cannot be used; called at start."""

    def identity_pem(self) -> bytes:
        """The public half of the ML-DSA-65 key (FIPS 204) that gateways pin."""

    def bundle(self, suites: list[int], now: float) -> SignedKeyBundle:
        """Today's signed key bundle (UTC) of the first suite in `suites` that is offered."""

    def decapsulate(self, key_id: str, suite: int, wrapped: bytes) -> bytes:
        """The 32-byte secret that a gateway wrapped to a bundle of this hospital.

        Raises:
            NoPrivateKey: the private key never existed here, or was destroyed.
            KemError: the encapsulation has the wrong form.
            Unavailable: the keys cannot be reached now; the same call may work later.
        """

    def fhe_keys(self, make: Callable[[], FheKeys]) -> FheKeys:
        """The keys of the blind analysis; `make` makes them the first time."""

    def read_secret(self, path: Path, what: str) -> bytes:
        """A private file of the configuration, such as a TLS key."""

    def lost_devices(self) -> "Sequence[DeviceLoss]":
        """The losses of devices that the keeper knows: see `pericard_server.fleet.losses`."""
