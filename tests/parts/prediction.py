"""Manifests to test with, and what docs/wire-format.md says of prediction, once more with Python's integers.

But for the manifests' own constructor nothing here calls the code under test.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any

from pericard_protocol.prediction.manifest import Manifest

# Of docs/wire-format.md: number, degree, primes; the last is for key switching.
SETS = {
    "s1": (1, 4096, (68719230977, 68719403009, 137438822401)),
    "s3": (3, 8192, (18014398508138497, 18014398508400641, 36028797018652673)),
}


def feature(name: str = "age", edges: Sequence[float] = (1.5, 2.5, 4.0)) -> dict[str, Any]:
    return {"name": name, "unit": "years", "edges": list(edges), "minimum": 0, "maximum": 9, "mean": 3.25}


def fields(**changes: Any) -> dict[str, Any]:
    """A binary model of four trees in 8 places: what a manifest's JSON has, but for the digest."""
    return {
        "format": "pericard-model/1",
        "name": "small",
        "parameters": "s1",
        "kind": "trees",
        "task": "binary",
        "features": [feature("age"), feature("pulse", (60.0, 72.5))],
        "edges_per_feature": 3,
        "input_slots": 1024,
        "plan": [4],
        "giant": 16,
        "blocks": [[[0, 8]]],
        "trees": [4],
        "columns": 2,
        "classes": ["benign", "malignant"],
        "scale": 100.0,
        "offset": [0.25],
        "link": "logistic",
        **changes,
    }


def manifest(**changes: Any) -> Manifest:
    return Manifest.model_validate_json(json.dumps(fields(**changes)))


def three_classes(**changes: Any) -> Manifest:
    """Three classes in 4 + 2 places of two ciphertexts: class 1 has two blocks."""
    values: dict[str, Any] = {
        "task": "multiclass",
        "plan": [2, 1],
        "blocks": [[[0, 2]], [[2, 3], [5, 6]], [[3, 5]]],
        "trees": [2, 2, 1],
        "classes": ["a", "b", "c"],
        "offset": [0.0, 0.5, -0.5],
        "link": "softmax",
    }
    return manifest(**{**values, **changes})


def linear(**changes: Any) -> Manifest:
    values: dict[str, Any] = {"kind": "linear", "plan": [], "blocks": [], "trees": [], "columns": 1}
    return manifest(**{**values, **changes})


# --- the wire, as the document has it


def packed(words: Iterable[int], bits: int) -> bytes:
    """Word i at bit i·bits of one number, which is then written little endian."""
    words = list(words)
    number = int("".join(f"{word:0{bits}b}" for word in reversed(words)), 2)
    return number.to_bytes(len(words) * bits // 8, "little")


def words(name: str, prime: int, salt: int) -> list[int]:
    """Words of a block, reproducible in any language: word i = (i + 1)·(salt + 7919)·1000003 mod prime."""
    _, degree, primes = SETS[name]
    return [(i + 1) * (salt + 7919) * 1000003 % primes[prime] for i in range(degree)]


def seed(salt: int) -> bytes:
    return bytes((salt + i) % 256 for i in range(64))


def seeded(name: str, primes: int, salt: int) -> bytes:
    """A seeded ciphertext of the words and the seed above."""
    moduli = SETS[name][2]
    blocks = [packed(words(name, one, salt), moduli[one].bit_length()) for one in range(primes)]
    return b"".join([*blocks, seed(salt)])


def keys(name: str, steps: Sequence[int]) -> bytes:
    """A keys container whose part i has salt i."""
    number, _, primes = SETS[name]
    parts = 1 + len(steps) * (len(primes) - 1)
    head = b"PCKY" + struct.pack("<BBBBHH", 1, number, 0, 0, 0, len(steps))
    body = [seeded(name, len(primes), salt) for salt in range(parts)]
    return b"".join([head, struct.pack(f"<{len(steps)}H", *steps), *body])


def key_fingerprint(container: bytes) -> bytes:
    return hashlib.sha256(b"pericard prediction keys 1\0" + container).digest()


def query(name: str, mode: int, rows: int, count: int, fingerprint: bytes, digest: str) -> bytes:
    """A query whose ciphertext i has salt i."""
    head = b"PCQY" + struct.pack("<BBBBHH", 1, SETS[name][0], mode, 0, rows, count)
    body = [seeded(name, len(SETS[name][2]) - 1, salt) for salt in range(count)]
    return b"".join([head, fingerprint, bytes.fromhex(digest), *body])


def reply(name: str, mode: int, rows: int, count: int, fingerprint: bytes, digest: str) -> bytes:
    """A reply of one row (mode 0) or of `count` ciphertexts: polynomial p of ciphertext i has salt 2i + p."""
    bits = SETS[name][2][0].bit_length()
    total = rows * count if mode == 0 else count
    head = b"PCRP" + struct.pack("<BBBBHH", 1, SETS[name][0], mode, 0, rows, count)
    body = [packed(words(name, 0, salt), bits) for salt in range(2 * total)]
    return b"".join([head, fingerprint, bytes.fromhex(digest), *body])


# --- the geometry, as the document has it


def spread(full: dict[str, Any], t: int, degree: int, places: Sequence[Sequence[int]]) -> list[list[int]]:
    """Decrypted slots of a reply in mode rows whose place p has the two values `places[p]`.

    Share s > 0 of place k in row r is (1000003·r + 1009·s + 7919·k) mod t; share 0 is what is missing.
    """
    copies, out, base = degree // 2 // full["input_slots"], [], 0
    for diagonals in full["plan"]:
        capacity, shares = copies * diagonals, full["input_slots"] // diagonals
        slots = [0] * degree
        for row in (0, 1):
            for k in range(capacity):
                others = 0
                for s in range(1, shares):
                    share = (1000003 * row + 1009 * s + 7919 * k) % t
                    slots[row * degree // 2 + s * capacity + k] = share
                    others += share
                slots[row * degree // 2 + k] = (places[base + k][row] - others) % t
        out.append(slots)
        base += capacity
    return out


def ones(full: dict[str, Any], degree: int, row: Sequence[float]) -> list[int]:
    """The slots that hold a 1 for a row of data, in mode rows."""
    copies, found = degree // 2 // full["input_slots"], []
    for at, (one, value) in enumerate(zip(full["features"], row, strict=True)):
        for e, edge in enumerate(one["edges"]):
            if value > edge:
                slot = (at * full["edges_per_feature"] + e) * copies
                found += [half + slot + copy for half in (0, degree // 2) for copy in range(copies)]
    return sorted(found)
