"""Seals opened frames for the hospital, with a key bundle that it has verified. No I/O, no clock."""

import itertools
from collections.abc import Iterable, Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from pericard_gateway.errors import BundleRollback, NoKeyBundle
from pericard_gateway.uplink.spool import SealedBatch
from pericard_protocol.proto.uplink_pb2 import KeyBundle, OpenedFrame, SignedKeyBundle
from pericard_protocol.uplink.bundle import verify_bundle
from pericard_protocol.uplink.session import MAX_FRAMES, SessionSealer
from pericard_protocol.uplink.suites import KemSuite


class RecordSealer:
    """Holds all that sealing needs: our identity key, the hospital's key bundle, the present session."""

    def __init__(
        self,
        gateway_id: str,
        identity: MLDSA65PrivateKey,
        pinned: MLDSA65PublicKey,
        suites: Mapping[int, KemSuite],
    ) -> None:
        """`suites` are the chosen provider's."""
        self._suites = suites
        self._gateway_id, self._identity, self._pinned = gateway_id, identity, pinned
        self._bundle: KeyBundle | None = None
        self._session: SessionSealer | None = None

    def can_seal(self, now: float) -> bool:
        """Whether frames can be sealed at `now` (Unix seconds)."""
        return self._bundle is not None and self._bundle.not_before <= now < self._bundle.not_after

    @property
    def key_ids(self) -> frozenset[str]:
        """The KEM key in use, if any."""
        return frozenset({self._bundle.key_id}) if self._bundle else frozenset()

    @property
    def bundle_ends(self) -> float:
        """When the bundle ends, in Unix seconds; 0 without one."""
        return float(self._bundle.not_after) if self._bundle else 0.0

    def restore_bundle(self, signed: SignedKeyBundle) -> None:
        """Takes the bundle that an earlier run kept, even an ended one: no older one is adopted afterwards.

        Raises:
            BundleError, UnknownSuite: from `verify_bundle`.
        """
        claimed = KeyBundle.FromString(signed.bundle)
        # At its own beginning it was valid; `can_seal` decides about now.
        self._bundle = verify_bundle(signed, self._pinned, claimed.not_before)

    def adopt_bundle(self, signed: SignedKeyBundle, now: float) -> KeyBundle | None:
        """Takes a newer bundle into use and returns it; None when it is the one in use.

        Raises:
            BundleRollback: older than the one in use, whose private key may be closer to destruction.
            BundleError, UnknownSuite: from `verify_bundle`.
        """
        bundle = verify_bundle(signed, self._pinned, now)
        if self._bundle == bundle:
            return None
        if self._bundle is not None and bundle.not_before < self._bundle.not_before:
            raise BundleRollback(
                f"key bundle {bundle.key_id} is older than {self._bundle.key_id}: refused; look for a server"
                " restored from a backup, or for someone on the network"
            )
        self._bundle = bundle
        self.end_session()
        return bundle

    def seal(self, frames: Iterable[OpenedFrame], now: float) -> list[SealedBatch]:
        """The frames as records of at most 1,024 each; begins a new session when one is due.

        Raises:
            NoKeyBundle: there is no bundle that is valid at `now`.
        """
        return [self._seal_one(part, now) for part in _parts(frames)]

    def _seal_one(self, frames: list[OpenedFrame], now: float) -> SealedBatch:
        if self._session is None or self._session.exhausted(now):
            self.end_session()
            if self._bundle is None or not self.can_seal(now):
                raise NoKeyBundle("no valid key bundle of the hospital's is known: is its server reachable?")
            self._session = SessionSealer(self._bundle, self._gateway_id, self._identity, now, self._suites)
        return SealedBatch(self._session.header, self._session.seal(frames), len(frames))

    def end_session(self) -> None:
        """Drops the session key; the next record begins a new session."""
        if self._session is not None:
            self._session.wipe()
            self._session = None


def _parts(frames: Iterable[OpenedFrame]) -> Iterator[list[OpenedFrame]]:
    remaining = iter(frames)
    while part := list(itertools.islice(remaining, MAX_FRAMES)):
        yield part
