"""Key bundles. Invariant: only what the pinned key signed for this purpose and time verifies."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.errors import PeerError
from pericard_protocol.proto.uplink_pb2 import KeyBundle, SignedKeyBundle
from pericard_protocol.uplink import session
from pericard_protocol.uplink.bundle import (
    CONTEXT,
    BadSignature,
    BundleError,
    DailyKey,
    ExpiredBundle,
    first_offered,
    sign_bundle,
    verify_bundle,
)
from pericard_protocol.uplink.suites import DEFAULT_SUITE, SUITES, UnknownSuite

IDENTITY = MLDSA65PrivateKey.generate()
PINNED = IDENTITY.public_key()
BUNDLE = KeyBundle(key_id="today", suite=0x647A, public_key=b"key", not_before=100, not_after=200)


def _signed(raw: bytes, context: bytes = CONTEXT) -> SignedKeyBundle:
    return SignedKeyBundle(bundle=raw, signature=IDENTITY.sign(raw, context=context))


def _with(**changed: object) -> KeyBundle:
    bundle = KeyBundle()
    bundle.CopyFrom(BUNDLE)
    for name, value in changed.items():
        setattr(bundle, name, value)
    return bundle


@pytest.mark.parametrize("now", [100, 100.0, 199.999])
def test_a_good_one_is_read(now: float) -> None:
    assert verify_bundle(sign_bundle(BUNDLE, IDENTITY), PINNED, now) == BUNDLE


@pytest.mark.parametrize("now", [0, 99.999, 200, 1e12, float("nan"), float("inf")])
def test_before_and_after_its_time_it_is_expired(now: float) -> None:
    with pytest.raises(ExpiredBundle, match="clock"):
        verify_bundle(sign_bundle(BUNDLE, IDENTITY), PINNED, now)


@pytest.mark.parametrize(
    ("bundle", "error"),
    [
        (_with(key_id=""), BundleError),
        (_with(key_id="x" * 65), BundleError),
        (_with(key_id="é" * 33), BundleError),
        (_with(suite=0), UnknownSuite),
        (_with(suite=0x0043), UnknownSuite),
        (_with(not_before=200), ExpiredBundle),
    ],
)
def test_each_fault_has_its_error(bundle: KeyBundle, error: type[PeerError]) -> None:
    with pytest.raises(error) as caught:
        verify_bundle(sign_bundle(bundle, IDENTITY), PINNED, 150)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "spoil",
    [
        lambda signed: SignedKeyBundle(bundle=signed.bundle),
        lambda signed: SignedKeyBundle(bundle=signed.bundle, signature=b"short"),
        lambda signed: SignedKeyBundle(bundle=signed.bundle, signature=signed.signature + b"\0"),
        lambda signed: SignedKeyBundle(bundle=b"", signature=signed.signature),
        lambda signed: _signed(signed.bundle, session.CONTEXT),
        lambda signed: _signed(signed.bundle, b""),
        lambda signed: sign_bundle(BUNDLE, MLDSA65PrivateKey.generate()),
    ],
    ids=["none", "short", "long", "moved", "another purpose", "no purpose", "another identity"],
)
def test_a_wrong_signature_is_refused(spoil: Callable[[SignedKeyBundle], SignedKeyBundle]) -> None:
    with pytest.raises(BadSignature, match="pinned identity"):
        verify_bundle(spoil(sign_bundle(BUNDLE, IDENTITY)), PINNED, 150)


@given(st.data())
def test_no_bit_can_be_flipped(data: st.DataObject) -> None:
    signed = sign_bundle(BUNDLE, IDENTITY)
    part = data.draw(st.sampled_from(["bundle", "signature"]))
    changed = bytearray(getattr(signed, part))
    bit = data.draw(st.integers(0, 8 * len(changed) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    setattr(signed, part, bytes(changed))
    with pytest.raises(BadSignature):
        verify_bundle(signed, PINNED, 150)


@given(st.binary(max_size=200))
def test_junk_is_not_parsed_before_it_is_signed(raw: bytes) -> None:
    with pytest.raises(BadSignature):
        verify_bundle(SignedKeyBundle(bundle=raw, signature=b"x" * 3309), PINNED, 150)


@given(st.binary(max_size=200))
def test_signed_junk_is_a_peer_error(raw: bytes) -> None:
    """No random bytes are a bundle of a known suite."""
    with pytest.raises(PeerError):
        verify_bundle(_signed(raw), PINNED, 150)


@pytest.mark.parametrize("now", [1_699_920_000, 1_700_000_000.5, 1_700_006_399.999])
def test_a_days_key_is_named_after_it_and_serves_one_day_more(now: float) -> None:
    day = DailyKey.at(now, 0x41)
    assert day.key_id == "2023-11-14-0041"
    assert day.bundle(b"key") == KeyBundle(
        key_id="2023-11-14-0041",
        suite=0x41,
        public_key=b"key",
        not_before=1_699_920_000,
        not_after=1_700_092_800,
    )


def test_the_next_day_has_another_key() -> None:
    assert DailyKey.at(1_700_006_400, 0x647A).key_id == "2023-11-15-647a"


def test_the_first_suite_that_both_have_is_taken() -> None:
    assert first_offered([1, 0x42, 0x41], SUITES).id == 0x42
    assert first_offered([1, 2], SUITES) is first_offered([], SUITES) is DEFAULT_SUITE
