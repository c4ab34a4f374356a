"""At-rest sealing: open_row(seal_row(x)) = x for its own row, and nothing else opens."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_server.errors import TamperedRow
from pericard_server.records.models import Reading
from pericard_server.records.seal import open_row, seal_row
from pericard_server.records.suites import SUITES, DoesNotOpen

KEY = bytes(range(32))
suites = st.sampled_from(list(SUITES))


@given(suites, st.binary(max_size=300), st.binary(max_size=480))
def test_a_row_opens_with_its_own_identity(suite: str, identity: bytes, payload: bytes) -> None:
    assert open_row(suite, KEY, identity, seal_row(suite, KEY, identity, payload)) == payload


@given(suites, st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=80))
def test_it_opens_with_no_other_identity(suite: str, own: bytes, other: bytes, payload: bytes) -> None:
    if own == other:
        other += b"x"
    with pytest.raises(TamperedRow):
        open_row(suite, KEY, other, seal_row(suite, KEY, own, payload))


@given(suites, st.binary(max_size=80), st.data())
def test_no_bit_can_be_flipped(suite: str, payload: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal_row(suite, KEY, b"row", payload))
    # The last character before base64's padding has spare bits, which decoding ignores: Fernet's own format.
    end = len(sealed.rstrip(b"=")) - 1 if suite == "fernet" else len(sealed)
    bit = data.draw(st.integers(0, end * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(TamperedRow):
        open_row(suite, KEY, b"row", bytes(sealed))


@given(suites, st.binary(max_size=200))
def test_junk_is_a_tampered_row(suite: str, junk: bytes) -> None:
    with pytest.raises(TamperedRow):
        open_row(suite, KEY, b"row", junk)


@pytest.mark.parametrize("suite", SUITES)
def test_another_key_does_not_open(suite: str) -> None:
    with pytest.raises(TamperedRow):
        open_row(suite, bytes(32), b"row", seal_row(suite, KEY, b"row", b"x"))


def test_the_table_names_every_suite_as_its_rows_do() -> None:
    longest = Reading._meta.get_field("suite").max_length
    assert [suite.name for suite in SUITES.values()] == list(SUITES)
    assert longest is not None
    assert max(map(len, SUITES)) <= longest


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_binds_associated_data_or_says_that_it_does_not(suite: str) -> None:
    cipher = SUITES[suite].cipher(bytes(SUITES[suite].key_bytes))
    sealed = cipher.seal(b"payload", b"own")
    assert cipher.unseal(sealed, b"own") == b"payload"
    if SUITES[suite].binds_associated_data:
        with pytest.raises(DoesNotOpen):
            cipher.unseal(sealed, b"other")
    else:
        assert cipher.unseal(sealed, b"other") == b"payload"


VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "at-rest" / "1043fd8.json").read_text())


@pytest.mark.parametrize("suite", ["aes-256-gcm-siv", "fernet"])
def test_what_an_older_server_sealed_opens(suite: str) -> None:
    data_key, identity, payload = (
        bytes.fromhex(VECTOR[name]) for name in ("data_key", "identity", "payload")
    )
    assert open_row(suite, data_key, identity, bytes.fromhex(VECTOR["sealed"][suite])) == payload
