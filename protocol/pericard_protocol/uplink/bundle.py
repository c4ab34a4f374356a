"""Key bundles: the hospital's KEM public key of a UTC day, signed with its ML-DSA-65 identity key.

All verification of a bundle is here, without I/O: the caller gives the bytes, the pinned key and the time.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from google.protobuf.message import DecodeError

from pericard_protocol.errors import PeerError
from pericard_protocol.proto.uplink_pb2 import KeyBundle, SignedKeyBundle
from pericard_protocol.uplink.suites import DEFAULT_SUITE, KemSuite, suite_of

# FIPS 204, section 5.2: the context string keeps a signature made for one purpose from serving another.
CONTEXT = b"pericard key bundle v1"
MAX_KEY_ID_BYTES = 64
DAY_SECONDS = 86_400
# The hospital gives a key to gateways for one day, and they may seal to it for two: a gateway that loses its
# connection at midnight can go on.
VALID_SECONDS = 2 * DAY_SECONDS


class BundleError(PeerError):
    """A bundle that is malformed."""

    reason = "bundle"


class BadSignature(BundleError):
    """A bundle that the pinned identity key did not sign."""

    reason = "bundle signature"


class ExpiredBundle(BundleError):
    """A bundle whose time has not come or is over."""

    reason = "bundle expired"


class DailyKey(NamedTuple):
    """The KEM key of one UTC day and suite: its id, and when gateways may seal to it."""

    starts: int  # Unix seconds
    suite: int

    @classmethod
    def at(cls, now: float, suite: int) -> Self:
        """The key of the day in which `now` (Unix seconds) lies."""
        return cls(int(now // DAY_SECONDS) * DAY_SECONDS, suite)

    @property
    def key_id(self) -> str:
        """Such as "2026-11-24-647a": the day, and the suite in hexadecimal digits."""
        return f"{datetime.fromtimestamp(self.starts, UTC):%Y-%m-%d}-{self.suite:04x}"

    @property
    def ends(self) -> int:
        """From this moment on (Unix seconds) no gateway seals to it."""
        return self.starts + VALID_SECONDS

    def bundle(self, public_key: bytes) -> KeyBundle:
        """The bundle that publishes it, not signed yet."""
        return KeyBundle(
            key_id=self.key_id,
            suite=self.suite,
            public_key=public_key,
            not_before=self.starts,
            not_after=self.ends,
        )


def first_offered(wanted: Iterable[int], offered: Mapping[int, KemSuite]) -> KemSuite:
    """The first of the wanted suites (ids) that is offered; the default where none is."""
    return next((offered[one] for one in wanted if one in offered), offered[DEFAULT_SUITE.id])


def sign_bundle(bundle: KeyBundle, identity: MLDSA65PrivateKey) -> SignedKeyBundle:
    """Signs the bundle's serialised bytes and keeps them: serialised again, they could be others."""
    raw = bundle.SerializeToString(deterministic=True)
    return SignedKeyBundle(bundle=raw, signature=identity.sign(raw, context=CONTEXT))


def verify_bundle(signed: SignedKeyBundle, identity: MLDSA65PublicKey, now: float) -> KeyBundle:
    """The bundle, once its signature, form and time (Unix seconds) are right, in this order.

    Raises:
        BadSignature: not signed by `identity`; nothing in it was parsed.
        BundleError: signed, yet malformed.
        UnknownSuite: its suite is not offered by this release.
        ExpiredBundle: `now` is outside not_before..not_after.
    """
    try:
        identity.verify(signed.signature, signed.bundle, context=CONTEXT)
    except InvalidSignature:
        raise BadSignature(
            "the key bundle is not signed by the pinned identity key: enrol again, or suspect the network"
        ) from None
    bundle = KeyBundle()
    try:
        bundle.ParseFromString(signed.bundle)
    except DecodeError:
        raise BundleError("the key bundle is signed but not a key bundle") from None
    if not 0 < len(bundle.key_id.encode()) <= MAX_KEY_ID_BYTES:
        raise BundleError(f"the key bundle's key id must have 1 to {MAX_KEY_ID_BYTES} bytes")
    suite_of(bundle.suite)
    if not bundle.not_before <= now < bundle.not_after:
        raise ExpiredBundle(
            f"key bundle {bundle.key_id} is not valid now: check this machine's clock, then whether the"
            " hospital still rotates its keys"
        )
    return bundle
