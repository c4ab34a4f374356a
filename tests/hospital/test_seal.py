"""At-rest sealing: unseal(seal(x)) = x for its own row, and nothing else opens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_server.errors import TamperedRow
from pericard_server.records.seal import SUITES, SuiteName, seal, unseal

KEY = bytes(range(32))
suites = st.sampled_from(SUITES)


@given(suites, st.binary(max_size=300), st.binary(max_size=480))
def test_a_row_opens_with_its_own_identity(suite: SuiteName, identity: bytes, payload: bytes) -> None:
    assert unseal(suite, KEY, identity, seal(suite, KEY, identity, payload)) == payload


@given(suites, st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=80))
def test_it_opens_with_no_other_identity(suite: SuiteName, own: bytes, other: bytes, payload: bytes) -> None:
    if own == other:
        other += b"x"
    with pytest.raises(TamperedRow):
        unseal(suite, KEY, other, seal(suite, KEY, own, payload))


@given(suites, st.binary(max_size=80), st.data())
def test_no_bit_can_be_flipped(suite: SuiteName, payload: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(suite, KEY, b"row", payload))
    # The last character before base64's padding has spare bits, which decoding ignores: Fernet's own format.
    end = len(sealed.rstrip(b"=")) - 1 if suite == "fernet" else len(sealed)
    bit = data.draw(st.integers(0, end * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(TamperedRow):
        unseal(suite, KEY, b"row", bytes(sealed))


@given(suites, st.binary(max_size=200))
def test_junk_is_a_tampered_row(suite: SuiteName, junk: bytes) -> None:
    with pytest.raises(TamperedRow):
        unseal(suite, KEY, b"row", junk)


@pytest.mark.parametrize("suite", SUITES)
def test_another_key_does_not_open(suite: SuiteName) -> None:
    with pytest.raises(TamperedRow):
        unseal(suite, bytes(32), b"row", seal(suite, KEY, b"row", b"x"))
