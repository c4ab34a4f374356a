"""The KEM suites. Invariants: both ends get one fresh secret; a value of the wrong form is a KemError."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.uplink.hybrid import HybridOver
from pericard_protocol.uplink.suites import DEFAULT_SUITE, SUITES, KemError, KemSuite, UnknownSuite, suite_of

# Bytes of a private key, a public key and an encapsulation: FIPS 203, table 3; the hybrid adds X25519's 32 to
# each and HPKE's sealed secret of 32 + 16 to the encapsulation.
SIZES = {0x647A: (96, 1216, 1120 + 48), 0x0041: (64, 1184, 1088), 0x0042: (64, 1568, 1568)}

COMPOSED = HybridOver(SUITES[0x0041])
every_suite = pytest.mark.parametrize(
    "suite", [*SUITES.values(), COMPOSED], ids=lambda suite: f"{type(suite).__name__}-{suite.name}"
)
every_hybrid = pytest.mark.parametrize(
    "suite", [DEFAULT_SUITE, COMPOSED], ids=lambda suite: type(suite).__name__
)


def test_the_suites_are_those_of_the_wire_and_the_hybrid_is_first() -> None:
    assert {suite_id: suite.id for suite_id, suite in SUITES.items()} == {one: one for one in SIZES}
    assert DEFAULT_SUITE is next(iter(SUITES.values())) is SUITES[0x647A]


@every_suite
def test_both_ends_get_one_fresh_secret(suite: KemSuite) -> None:
    private, public = suite.generate()
    secrets = set()
    for _ in range(3):
        secret, wrapped = suite.encapsulate(public)
        assert (len(private), len(public), len(wrapped)) == SIZES[suite.id]
        assert len(secret) == 32
        assert suite.decapsulate(private, wrapped) == secret
        secrets.add(secret)
    assert len(secrets) == 3


@every_suite
def test_another_key_gets_no_secret(suite: KemSuite) -> None:
    secret, wrapped = suite.encapsulate(suite.generate()[1])
    stranger, _ = suite.generate()
    if suite.id == DEFAULT_SUITE.id:
        with pytest.raises(KemError):
            suite.decapsulate(stranger, wrapped)
    else:
        assert suite.decapsulate(stranger, wrapped) != secret


@every_suite
@pytest.mark.parametrize("place", [0, 500, -1])
def test_a_changed_encapsulation_gets_no_secret(suite: KemSuite, place: int) -> None:
    private, public = suite.generate()
    secret, wrapped = suite.encapsulate(public)
    changed = bytearray(wrapped)
    changed[place] ^= 1
    if suite.id == DEFAULT_SUITE.id:
        with pytest.raises(KemError):
            suite.decapsulate(private, bytes(changed))
    else:
        assert suite.decapsulate(private, bytes(changed)) != secret


@every_suite
@pytest.mark.parametrize("resize", [lambda b: b"", lambda b: b[:5], lambda b: b[:-1], lambda b: b + b"\0"])
def test_a_wrong_length_is_a_kem_error(suite: KemSuite, resize: "type[bytes]") -> None:
    private, public = suite.generate()
    _, wrapped = suite.encapsulate(public)
    for attempt in (
        lambda: suite.encapsulate(resize(public)),
        lambda: suite.decapsulate(private, resize(wrapped)),
        lambda: suite.decapsulate(resize(private), wrapped),
    ):
        with pytest.raises(KemError, match=suite.name):
            attempt()


@every_suite
def test_a_public_key_outside_the_field_is_a_kem_error(suite: KemSuite) -> None:
    """FIPS 203, section 7.2: coefficients of 12 bits must be below 3,329."""
    with pytest.raises(KemError):
        suite.encapsulate(b"\xff" * SIZES[suite.id][1])


@every_hybrid
def test_the_hybrid_refuses_a_curve_point_of_low_order(suite: KemSuite) -> None:
    """X25519 with it gives zero whatever the other side's scalar is (RFC 7748, section 6.1)."""
    private, public = suite.generate()
    with pytest.raises(KemError):
        suite.encapsulate(public[:-32] + bytes(32))
    _, wrapped = suite.encapsulate(public)
    with pytest.raises(KemError):
        suite.decapsulate(private, wrapped[:1088] + bytes(32) + wrapped[1120:])


@pytest.mark.parametrize(("maker", "user"), [(DEFAULT_SUITE, COMPOSED), (COMPOSED, DEFAULT_SUITE)])
def test_the_composed_hybrid_is_that_of_cryptography(maker: KemSuite, user: KemSuite) -> None:
    private, public = maker.generate()
    secret, wrapped = user.encapsulate(public)
    assert maker.decapsulate(private, wrapped) == user.decapsulate(private, wrapped) == secret


@given(st.integers(0, 2**32 - 1).filter(lambda suite_id: suite_id not in SIZES))
def test_another_id_is_an_unknown_suite(suite_id: int) -> None:
    with pytest.raises(UnknownSuite, match=f"0x{suite_id:04X}.*0x647A"):
        suite_of(suite_id)
