"""Key bundles: the hospital's KEM public key of a time span, signed with its ML-DSA-65 identity key.

All verification of a bundle is here, without I/O: the caller gives the bytes, the pinned key and the time.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from google.protobuf.message import DecodeError

from pericard_protocol.errors import PeerError
from pericard_protocol.proto.uplink_pb2 import KeyBundle, SignedKeyBundle
from pericard_protocol.uplink.suites import suite_of

# FIPS 204, section 5.2: the context string keeps a signature made for one purpose from serving another.
CONTEXT = b"pericard key bundle v1"
MAX_KEY_ID_BYTES = 64


class BundleError(PeerError):
    """A bundle that is malformed."""

    reason = "bundle"


class BadSignature(BundleError):
    """A bundle that the pinned identity key did not sign."""

    reason = "bundle signature"


class ExpiredBundle(BundleError):
    """A bundle whose time has not come or is over."""

    reason = "bundle expired"


def sign_bundle(bundle: KeyBundle, identity: MLDSA65PrivateKey) -> SignedKeyBundle:
    """Signs the bundle's serialised bytes, which travel as they were signed."""
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
