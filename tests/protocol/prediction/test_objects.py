"""Containers. Invariants: bytes parse, or are a PeerError and nothing else; parse(join(parts)) = parts."""

import contextlib
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.parts import prediction as spec

from pericard_protocol.errors import PeerError, UsageError
from pericard_protocol.prediction import objects
from pericard_protocol.prediction.errors import MalformedObject, OtherKeys, OtherModel
from pericard_protocol.prediction.manifest import COLUMNS, ROWS, Manifest
from pericard_protocol.prediction.packing import pack
from pericard_protocol.prediction.parameters import named

CASES = json.loads((Path(__file__).parents[2] / "vectors/prediction/containers.json").read_text())["cases"]
PRINT = bytes(range(32))
MANIFEST = spec.manifest()
KEYS = spec.keys("s1", (2, 32))
QUERY = spec.query("s1", ROWS, 2, 2, PRINT, MANIFEST.digest)
REPLY = spec.reply("s1", ROWS, 2, 1, PRINT, MANIFEST.digest)


def _keys(data: bytes) -> None:
    objects.parse_keys(data)


def _query(data: bytes) -> None:
    objects.parse_query(data, MANIFEST, PRINT).check()


def _reply(data: bytes) -> None:
    reply = objects.parse_reply(data, MANIFEST, PRINT)
    for row in range(reply.rows):
        list(reply.ciphertexts(row))


WHOLE = [(KEYS, _keys), (QUERY, _query), (REPLY, _reply)]


def _built(case: dict[str, Any]) -> bytes:
    """The vector's container, by the code under test."""
    name = case["parameters"]
    parameters = named(name)

    def seeded(primes: int, salt: int) -> objects.Seeded:
        words = [spec.words(name, prime, salt) for prime in range(primes)]
        return objects.Seeded(np.array(words, np.uint64), spec.seed(salt))

    if case["kind"] == "keys":
        primes = len(parameters.primes)
        parts = iter(range(1, 5))
        galois = [(step, [seeded(primes, next(parts)) for _ in (0, 1)]) for step in case["steps"]]
        return objects.join_keys(parameters, seeded(primes, 0), galois)
    manifest = Manifest.from_json(json.dumps(case["manifest"]))
    mode, rows, of = case["mode"], case["rows"], bytes.fromhex(case["fingerprint"])
    if case["kind"] == "query":
        count = rows if mode == ROWS else manifest.inputs
        data = objects.join_query(manifest, mode, rows, of, [seeded(2, salt) for salt in range(count)])
        read = objects.parse_query(data, manifest, of)
        read.check()
        assert (read.mode, read.rows, read.count) == (mode, rows, count)
        assert objects.query_rows(data) == rows
        assert len(data) <= objects.max_query_bytes(manifest)
        assert read.ciphertext(count - 1).c0.tolist() == seeded(2, count - 1).c0.tolist()
        assert read.ciphertext(count - 1).seed == spec.seed(count - 1)
        return data
    count = manifest.reply_ciphertexts(mode) * (rows if mode == ROWS else 1)
    words = [
        np.array([spec.words(name, 0, 2 * salt), spec.words(name, 0, 2 * salt + 1)], np.uint64)
        for salt in range(count)
    ]
    packed = [objects.pack_reply_ciphertext(parameters, one) for one in words]
    data = objects.join_reply(manifest, mode, rows, of, packed)
    reply = objects.parse_reply(data, manifest, of)
    rows_of = range(rows) if mode == ROWS else range(1)
    assert np.array_equal(
        np.stack([one for row in rows_of for one in reply.ciphertexts(row)]), np.stack(words)
    )
    return data


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['kind']}-{case['parameters']}")
def test_vectors(case: dict[str, Any]) -> None:
    data = _built(case)
    assert len(data) == case["bytes"]
    assert hashlib.sha256(data).hexdigest() == case["sha256"]
    if case["kind"] == "keys":
        assert objects.fingerprint(data).hex() == case["fingerprint"]


def test_the_specifications_keys_parse_to_their_parts() -> None:
    keys = objects.parse_keys(KEYS)
    assert (keys.parameters.name, keys.steps) == ("s1", (2, 32))
    assert keys.fingerprint == spec.key_fingerprint(KEYS)
    assert keys.public_key.c0[2].tolist() == spec.words("s1", 2, 0)
    assert [[part.seed for part in parts] for parts in keys.parts] == [
        [spec.seed(1), spec.seed(2)],
        [spec.seed(3), spec.seed(4)],
    ]


def test_sizes_are_those_that_were_promised() -> None:
    assert len(KEYS) <= 300_000
    assert objects.query_bytes(MANIFEST, ROWS, 1) <= 40_000
    assert MANIFEST.parameter_set.reply_ciphertext_bytes <= 40_000


@pytest.mark.parametrize(("data", "parse"), WHOLE)
def test_a_byte_more_or_less_is_refused(data: bytes, parse: Any) -> None:
    parse(data)
    for other in (data[:-1], data + b"\0", data[:11], data[:76], b""):
        with pytest.raises(MalformedObject):
            parse(other)


@pytest.mark.parametrize(("data", "parse"), WHOLE)
@pytest.mark.parametrize("place", range(12))
def test_no_byte_of_a_header_can_be_another(data: bytes, parse: Any, place: int) -> None:
    for value in (0, 1, 2, 3, 4, 64, 255):
        if value != data[place]:
            with pytest.raises(PeerError):
                parse(data[:place] + bytes([value]) + data[place + 1 :])


@given(st.binary(max_size=300))
def test_junk_is_refused(data: bytes) -> None:
    for parse in (_keys, _query, _reply):
        with pytest.raises(MalformedObject):
            parse(data)


@settings(max_examples=60)
@given(st.sampled_from(WHOLE), st.data())
def test_a_changed_container_parses_or_is_a_peer_error(whole: tuple[bytes, Any], data: st.DataObject) -> None:
    changed = bytearray(whole[0])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 80) | st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PeerError):
        whole[1](bytes(changed))


def _with_word(data: bytes, start: int, bits: int, word: int, at: int) -> bytes:
    """`data` with word number `at` of the block that begins at `start` set."""
    block = bytearray(data[start : start + 4096 * bits // 8])
    whole = int.from_bytes(block, "little")
    whole &= ~(((1 << bits) - 1) << (at * bits))
    whole |= word << (at * bits)
    return data[:start] + whole.to_bytes(len(block), "little") + data[start + len(block) :]


P = spec.SETS["s1"][2]
_QUERY_SECOND = 76 + 36928 + 4096 * 36 // 8  # the second block of the second ciphertext
_KEYS_THIRD = 16 + 4096 * 72 // 8  # the block under the prime for key switching


@pytest.mark.parametrize(
    ("data", "parse", "start", "prime"),
    [
        (QUERY, _query, 76, P[0]),
        (QUERY, _query, _QUERY_SECOND, P[1]),
        (KEYS, _keys, 16, P[0]),
        (KEYS, _keys, _KEYS_THIRD, P[2]),
        (REPLY, _reply, 76, P[0]),
        (REPLY, _reply, 76 + 3 * 18432, P[0]),
    ],
)
@pytest.mark.parametrize("at", [0, 4095])
def test_a_word_equal_to_its_prime_is_refused(
    data: bytes, parse: Any, start: int, prime: int, at: int
) -> None:
    parse(_with_word(data, start, prime.bit_length(), prime - 1, at))
    with pytest.raises(MalformedObject, match="not below its prime"):
        parse(_with_word(data, start, prime.bit_length(), prime, at))
    with pytest.raises(MalformedObject, match="not below its prime"):
        parse(_with_word(data, start, prime.bit_length(), (1 << prime.bit_length()) - 1, at))


def test_another_users_and_another_models_objects_are_refused() -> None:
    for data, parse in ((QUERY, objects.parse_query), (REPLY, objects.parse_reply)):
        with pytest.raises(OtherKeys, match="other keys"):
            parse(data, MANIFEST, bytes(32))
        with pytest.raises(OtherModel, match="another model"):
            parse(data, spec.manifest(offset=[0.5]), PRINT)


def test_queries_and_replies_say_whose_they_are() -> None:
    assert objects.belongs_to(QUERY) == objects.belongs_to(REPLY) == (PRINT, MANIFEST.digest)
    for other in (KEYS, QUERY[:75], b""):
        with pytest.raises(MalformedObject, match="neither"):
            objects.belongs_to(other)


def test_a_query_without_rows_or_with_too_many_is_refused() -> None:
    for rows in (0, 4097, 65535):
        changed = QUERY[:8] + struct.pack("<H", rows) + QUERY[10:]
        with pytest.raises(MalformedObject, match="rows"):
            objects.query_rows(changed)
        with pytest.raises(MalformedObject, match="rows"):
            _query(changed)
        with pytest.raises(MalformedObject, match="rows"):
            _reply(REPLY[:8] + struct.pack("<H", rows) + REPLY[10:])
        with pytest.raises(UsageError, match="rows"):
            objects.join_query(MANIFEST, ROWS, rows, PRINT, [])


def test_mode_columns_is_refused_where_the_model_has_none() -> None:
    only_rows = spec.manifest(columns=0)
    query = spec.query("s1", COLUMNS, 5, 6, PRINT, only_rows.digest)
    with pytest.raises(MalformedObject, match="mode 1"):
        objects.parse_query(query, only_rows, PRINT)


@pytest.mark.parametrize("steps", [(32, 2), (2, 2), (3, 32), (0, 32), (2, 2048), (2, 4096)])
def test_galois_steps_that_no_model_has_are_refused(steps: tuple[int, int]) -> None:
    with pytest.raises(MalformedObject, match="Galois steps"):
        objects.parse_keys(KEYS[:12] + struct.pack("<2H", *steps) + KEYS[16:])


def test_keys_serve_the_models_that_rotate_by_their_steps() -> None:
    keys, without = objects.parse_keys(KEYS), objects.parse_keys(spec.keys("s1", ()))
    objects.check_keys_serve(keys, MANIFEST)
    objects.check_keys_serve(keys, spec.linear())
    objects.check_keys_serve(without, spec.linear())
    for other in (spec.manifest(giant=32), spec.manifest(input_slots=512), spec.manifest(parameters="s3")):
        with pytest.raises(OtherKeys, match="make keys"):
            objects.check_keys_serve(keys, other)
    with pytest.raises(OtherKeys):
        objects.check_keys_serve(without, MANIFEST)


def test_parts_of_another_number_or_size_are_our_own_mistake() -> None:
    with pytest.raises(UsageError):
        objects.join_query(MANIFEST, ROWS, 2, PRINT, [])
    with pytest.raises(UsageError):
        objects.join_reply(MANIFEST, ROWS, 2, PRINT, [bytes(36864)])
    with pytest.raises(UsageError):
        objects.join_keys(MANIFEST.parameter_set, objects.Seeded(np.zeros((3, 4096), np.uint64), b""), [])


def test_no_seed_is_in_a_repr() -> None:
    part = objects.parse_keys(KEYS).public_key
    assert part.seed.hex() not in repr(part)
    assert repr(part.seed) not in repr(part)


def test_packing_the_reply_is_packing_its_two_polynomials() -> None:
    words = np.arange(2 * 4096, dtype=np.uint64).reshape(2, 4096)
    packed = objects.pack_reply_ciphertext(MANIFEST.parameter_set, words)
    assert packed == pack(words[0], 36) + pack(words[1], 36)
