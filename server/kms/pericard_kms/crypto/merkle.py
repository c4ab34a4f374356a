"""The Merkle tree of RFC 9162 (Certificate Transparency 2.0), section 2.1: roots and proofs. No I/O.

Hashes of perfect subtrees of `TILE` leaves are kept, so a proof over millions of leaves reads a few
thousand hashes; the functions here ask for leaf and tile hashes through two callables.
"""

import hashlib
from collections.abc import Callable, Sequence

from pericard_kms.errors import Invalid, Tampered

TILE_LEVEL = 8
TILE = 1 << TILE_LEVEL

Hashes = Callable[[int, int], Sequence[bytes]]
"""The hashes start..stop (exclusive), in order: of leaves, or of whole tiles."""


def leaf_hash(leaf: bytes) -> bytes:
    """HASH(0x00 || leaf): section 2.1.1. The prefix keeps a leaf from passing as a node."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """HASH(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


EMPTY_ROOT = hashlib.sha256().digest()


class Frontier:
    """The roots of the perfect subtrees of a tree of `size` leaves: enough to append and to sum up."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[tuple[int, bytes]] = []  # (level, hash), levels strictly falling

    def append(self, value: bytes, level: int = 0) -> list[tuple[int, bytes]]:
        """Adds the root of the next perfect subtree of 2**level leaves (a leaf's hash at level 0).

        Returns:
            The nodes completed by it at TILE_LEVEL: (tile number, hash), none or one.
        """
        if self.size % (1 << level):
            raise Invalid("a subtree can only be appended where one of its size starts")
        self.size += 1 << level
        tiles = []
        while True:
            if level == TILE_LEVEL:
                tiles.append((self.size // TILE - 1, value))
            if not self._roots or self._roots[-1][0] != level:
                break
            value = node_hash(self._roots.pop()[1], value)
            level += 1
        self._roots.append((level, value))
        return tiles

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves appended so far."""
        if not self._roots:
            return EMPTY_ROOT
        value = self._roots[-1][1]
        for _, left in reversed(self._roots[:-1]):
            value = node_hash(left, value)
        return value

    def copy(self) -> "Frontier":
        """A frontier that can be appended to without changing this one."""
        other = Frontier()
        other.size, other._roots = self.size, list(self._roots)
        return other


class Tree:
    """Roots of ranges and proofs, from stored leaf and tile hashes."""

    def __init__(self, leaves: Hashes, tiles: Hashes) -> None:
        self._leaves = leaves
        self._tiles = tiles

    def range_root(self, start: int, stop: int) -> bytes:
        """The tree hash of leaves start..stop; start is a multiple of the range's largest power of two."""
        frontier = Frontier()
        whole = (stop - start) // TILE if start % TILE == 0 else 0
        if whole:
            for tile in self._tiles(start // TILE, start // TILE + whole):
                frontier.append(tile, TILE_LEVEL)
            start += whole * TILE
        for leaf in self._leaves(start, stop):
            frontier.append(leaf)
        return frontier.root()

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """PATH(index, D_size), section 2.1.3.1.

        Raises:
            Invalid: not 0 <= index < size.
        """
        if not 0 <= index < size:
            raise Invalid(f"entry {index} is not in a log of {size} entries")
        path: list[bytes] = []
        start, stop = 0, size
        while stop - start > 1:
            middle = start + _split(stop - start)
            if index < middle:
                path.append(self.range_root(middle, stop))
                stop = middle
            else:
                path.append(self.range_root(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, old: int, new: int) -> list[bytes]:
        """PROOF(old, D_new), section 2.1.4.1.

        Raises:
            Invalid: not 0 < old <= new.
        """
        if not 0 < old <= new:
            raise Invalid(f"no consistency proof leads from {old} to {new} entries")
        path: list[bytes] = []
        start, stop, whole = 0, new, True
        while stop != old:
            middle = start + _split(stop - start)
            if old <= middle:
                path.append(self.range_root(middle, stop))
                stop = middle
            else:
                path.append(self.range_root(start, middle))
                start, whole = middle, False
        if not whole:
            path.append(self.range_root(start, stop))
        return path[::-1]


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Verifies that `leaf` (its hash) is entry `index` of the tree (section 2.1.3.2).

    Raises:
        Tampered: it is not, or the proof is not one.
    """
    if not 0 <= index < size:
        raise Tampered(f"entry {index} cannot be in a log of {size} entries")
    number, last, value = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise Tampered("the inclusion proof is too long")
        if number & 1 or number == last:
            value = node_hash(step, value)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            value = node_hash(value, step)
        number, last = number >> 1, last >> 1
    if last or value != root:
        raise Tampered(f"entry {index} is not in the log with this root")


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Verifies that the tree of `new` leaves extends the tree of `old` leaves (section 2.1.4.2).

    Raises:
        Tampered: it does not: history was rewritten or cut.
    """
    wrong = Tampered(f"the log of {new} entries does not extend the log of {old} entries")
    if old > new or old < 0:
        raise wrong
    if old == new:
        if path or old_root != new_root:
            raise wrong
        return
    if old == 0:
        return  # everything extends the empty log
    proof = list(path)
    if old & (old - 1) == 0:
        proof.insert(0, old_root)
    if not proof:
        raise wrong
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    before = after = proof[0]
    for step in proof[1:]:
        if last == 0:
            raise wrong
        if first & 1 or first == last:
            before, after = node_hash(step, before), node_hash(step, after)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            after = node_hash(after, step)
        first, last = first >> 1, last >> 1
    if last or before != old_root or after != new_root:
        raise wrong
