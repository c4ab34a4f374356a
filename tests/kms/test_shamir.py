"""Invariant: any k of n shares give the secret; fewer or foreign ones do not."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pericard_kms.crypto import shamir
from pericard_kms.errors import Invalid, Misused


@settings(max_examples=30)
@given(st.binary(min_size=1, max_size=33), st.integers(2, 5), st.integers(0, 3), st.randoms())
def test_any_threshold_of_shares_restores(secret: bytes, threshold: int, extra: int, random: Any) -> None:
    shares = shamir.split(secret, threshold + extra, threshold)
    assert len({share[-1] for share in shares}) == threshold + extra
    assert all(share[-1] != 0 and len(share) == len(secret) + 1 for share in shares)
    assert shamir.combine(random.sample(shares, threshold)) == secret


def test_fewer_shares_are_consistent_with_every_secret() -> None:
    """Perfect secrecy, counted: one share of a 2-of-n split takes each value equally often."""
    # y = s + a x over GF(256): for fixed s and x != 0, a -> y is a bijection.
    for x in (1, 2, 77, 255):
        assert len({shamir._multiply(a, x) ^ 0x5A for a in range(256)}) == 256


def test_multiplication_is_that_of_the_aes_field() -> None:
    # FIPS 197, section 4.2 and 4.2.1: {57} x {83} = {c1}, {57} x {13} = {fe}.
    assert shamir._multiply(0x57, 0x83) == 0xC1
    assert shamir._multiply(0x57, 0x13) == 0xFE
    assert all(shamir._multiply(a, shamir._invert(a)) == 1 for a in range(1, 256))
    assert all(
        shamir._multiply(a, b) == shamir._multiply(b, a)
        for a, b in itertools.product(range(0, 256, 7), repeat=2)
    )


def test_wrong_shares_do_not_give_the_secret() -> None:
    secret = bytes(range(32))
    shares = shamir.split(secret, 5, 3)
    assert shamir.combine(shares[:2]) != secret
    foreign = shamir.split(secret, 5, 3)
    mixed = [shares[0], shares[1], next(s for s in foreign if s[-1] not in (shares[0][-1], shares[1][-1]))]
    assert shamir.combine(mixed) != secret


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Misused, match="2 <= k <= n"):
        shamir.split(b"x", 3, 1)
    with pytest.raises(Misused, match="2 <= k <= n"):
        shamir.split(b"x", 256, 2)
    share = shamir.split(b"secret", 3, 2)[0]
    with pytest.raises(Invalid, match="twice"):
        shamir.combine([share, share])
    with pytest.raises(Invalid, match="lengths"):
        shamir.combine([share, share[1:]])
