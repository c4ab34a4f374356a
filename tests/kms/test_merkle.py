"""Invariants: tiles or not, a root is the one RFC 9162 defines; every true proof verifies, no other."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pericard_kms.crypto import merkle
from pericard_kms.errors import Invalid, Tampered

VECTORS = Path(__file__).parents[1] / "vectors" / "merkle"


def plain_root(leaves: Any) -> Any:
    """The definition of section 2.1.1, as it stands there."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + plain_root(leaves[:split]) + plain_root(leaves[split:])).digest()


def grow(leaves: Any) -> Any:
    """(frontier, tree) of `leaves`."""
    frontier, tiles = merkle.Frontier(), []
    for leaf in leaves:
        tiles += frontier.append(merkle.leaf_hash(leaf))
    assert [number for number, _ in tiles] == list(range(len(leaves) // merkle.TILE))
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    tree = merkle.Tree(lambda a, b: hashes[a:b], lambda a, b: [value for _, value in tiles[a:b]])
    return frontier, tree


def test_the_known_roots() -> None:
    files = sorted(VECTORS.glob("*.json"))
    assert files
    for file in files:
        table = json.loads(file.read_text())
        leaves = [bytes.fromhex(leaf) for leaf in table["leaves"]]
        frontier = merkle.Frontier()
        for leaf, root in zip(leaves, table["roots"], strict=True):
            frontier.append(merkle.leaf_hash(leaf))
            assert frontier.root().hex() == root


@settings(max_examples=40)
@given(st.integers(1, 700), st.data())
def test_every_proof_verifies_and_no_other(size: int, data: st.DataObject) -> None:
    leaves = [b"%d" % number for number in range(size)]
    frontier, tree = grow(leaves)
    root = frontier.root()
    assert root == plain_root(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = tree.inclusion(index, size)
    merkle.check_inclusion(merkle.leaf_hash(leaves[index]), index, size, proof, root)
    with pytest.raises(Tampered):
        merkle.check_inclusion(merkle.leaf_hash(b"other"), index, size, proof, root)
    if size > 1:
        with pytest.raises(Tampered):
            merkle.check_inclusion(merkle.leaf_hash(leaves[index]), (index + 1) % size, size, proof, root)
    old = data.draw(st.integers(1, size))
    old_root = plain_root(leaves[:old])
    path = tree.consistency(old, size)
    merkle.check_consistency(old, size, old_root, root, path)
    with pytest.raises(Tampered):
        merkle.check_consistency(old, size, hashlib.sha256(old_root).digest(), root, path)
    with pytest.raises(Tampered):
        merkle.check_consistency(old, size, old_root, hashlib.sha256(root).digest(), path)
    for position in range(len(path)):
        changed = [*path[:position], hashlib.sha256(path[position]).digest(), *path[position + 1 :]]
        with pytest.raises(Tampered):
            merkle.check_consistency(old, size, old_root, root, changed)
        with pytest.raises(Tampered):
            merkle.check_consistency(old, size, old_root, root, path[:position])


def test_a_frontier_from_tiles_is_the_same() -> None:
    leaves = [b"%d" % number for number in range(600)]
    frontier, tree = grow(leaves)
    again = merkle.Frontier()
    for start in (0, 256):
        again.append(tree.range_root(start, start + 256), merkle.TILE_LEVEL)
    for leaf in leaves[512:]:
        again.append(merkle.leaf_hash(leaf))
    assert again.root() == frontier.root()
    assert again.size == 600
    with pytest.raises(Invalid):
        again.append(b"x" * 32, merkle.TILE_LEVEL)


def test_what_is_not_in_the_log_has_no_proof() -> None:
    _, tree = grow([b"a", b"b"])
    with pytest.raises(Invalid):
        tree.inclusion(2, 2)
    with pytest.raises(Invalid):
        tree.consistency(0, 2)
    with pytest.raises(Tampered):
        merkle.check_consistency(3, 2, b"", b"", [])
