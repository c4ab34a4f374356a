"""Invariant: open(name, seal(name, x)) = x; anything moved, changed, cut or relabelled does not open."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_kms.errors import Tampered
from pericard_kms.storage.barrier import BarrierKeys, open_under, seal_under, term_of

NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)


@given(NAMES, NAMES, st.binary(max_size=200), st.data())
def test_a_value_opens_only_where_it_was_sealed(
    name: str, other: Any, value: bytes, data: st.DataObject
) -> None:
    ring = BarrierKeys.fresh(0.0)
    blob = ring.seal(name, value)
    assert ring.open(name, blob) == value
    if other != name:
        with pytest.raises(Tampered):
            ring.open(other, blob)
    position = data.draw(st.integers(0, len(blob) - 1))
    changed = bytearray(blob)
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Tampered):
        ring.open(name, bytes(changed))
    with pytest.raises(Tampered):
        ring.open(name, blob[: data.draw(st.integers(0, len(blob) - 1))])


def test_old_terms_open_and_the_new_one_seals() -> None:
    ring = BarrierKeys.fresh(0.0)
    old = ring.seal("a", b"1")
    assert ring.rotate(1.0) == 2
    new = ring.seal("a", b"2")
    assert (term_of(old), term_of(new)) == (1, 2)
    again = BarrierKeys.load(ring.dump())
    assert (again.open("a", old), again.open("a", new)) == (b"1", b"2")
    alone = BarrierKeys({2: again.terms[2]})
    with pytest.raises(Tampered, match="unknown barrier key"):
        alone.open("a", old)


def test_equal_values_do_not_look_equal() -> None:
    ring = BarrierKeys.fresh(0.0)
    assert len({ring.seal("a", b"same") for _ in range(100)}) == 100


def test_the_root_key_opens_only_what_it_sealed() -> None:
    blob = seal_under(b"k" * 32, "core/keyring", b"ring")
    assert open_under(b"k" * 32, "core/keyring", blob) == b"ring"
    for key, name in ((b"j" * 32, "core/keyring"), (b"k" * 32, "core/other")):
        with pytest.raises(Tampered):
            open_under(key, name, blob)


def test_no_key_shows_in_a_repr() -> None:
    ring = BarrierKeys.fresh(0.0)
    assert ring.terms[1].key.hex() not in repr(ring) + repr(ring.terms[1])
    assert str(ring.terms[1].key) not in repr(ring.terms[1])
