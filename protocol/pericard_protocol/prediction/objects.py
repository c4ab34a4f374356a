"""Keys, queries and replies as they travel: packed, seeded, of exactly one size, every word a residue.

A word is checked before anyone can have it: `Seeded` values and replies' words come only from the `parse_…`
functions and from what they return.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from pericard_protocol.errors import UsageError
from pericard_protocol.prediction import parameters as sets
from pericard_protocol.prediction.errors import MalformedObject, OtherKeys, OtherModel
from pericard_protocol.prediction.manifest import COLUMNS, ROWS, Manifest
from pericard_protocol.prediction.packing import Words, pack, unpack
from pericard_protocol.prediction.parameters import HEADER_BYTES, SEED_BYTES, BfvParameters

MAX_ROWS = 4096
_VERSION = 1
_HEADER = struct.Struct("<4sBBBBHH")  # magic, version, parameter set, mode, zero, rows, count
_KEYS, _QUERY, _REPLY = b"PCKY", b"PCQY", b"PCRP"
_NAMES = 64  # bytes: the keys' fingerprint and the model's digest, in queries and replies
# Ends in a zero byte, which no other label does: no two of the project's hashes can have the same input.
_FINGERPRINT_LABEL = b"pericard prediction keys 1\0"


@dataclass(frozen=True)
class Seeded:
    """A ciphertext whose second polynomial is what SEAL's generator makes of a seed.

    Attributes:
        c0: uint64[primes, N], row i below prime i.
        seed: 64 bytes.
    """

    c0: Words
    seed: bytes = field(repr=False)


@dataclass(frozen=True)
class Keys:
    """A user's public keys.

    Attributes:
        parameters: of all of them.
        steps: how far each Galois key rotates the rows; none for linear models.
        public_key: an encryption of zero under all primes, in NTT form.
        parts: for each step, one key-switching part for each data prime, in NTT form.
        fingerprint: 32 bytes, the name of these keys.
    """

    parameters: BfvParameters
    steps: tuple[int, ...]
    public_key: Seeded
    parts: tuple[tuple[Seeded, ...], ...]
    fingerprint: bytes


class Query:
    """A query whose shape, keys and model are checked; its words are, when they are asked for.

    Attributes:
        mode: `manifest.ROWS` or `manifest.COLUMNS`.
        rows: of data, 1 to 4,096.
        count: ciphertexts: one a row, or one for each feature's edge.
    """

    def __init__(self, parameters: BfvParameters, mode: int, rows: int, count: int, body: memoryview) -> None:
        self.parameters, self.mode, self.rows, self.count = parameters, mode, rows, count
        self._body = body

    def ciphertext(self, index: int) -> Seeded:
        """One ciphertext, every word checked.

        Raises:
            MalformedObject: a word is not below its prime.
        """
        size = self.parameters.query_ciphertext_bytes
        data = self._body[index * size : (index + 1) * size]
        return _seeded(self.parameters, data, len(self.parameters.data_primes), f"ciphertext {index + 1}")

    def check(self) -> None:
        """Checks every word of every ciphertext, one after another.

        Raises:
            MalformedObject: a word is not below its prime.
        """
        for index in range(self.count):
            self.ciphertext(index)


def fingerprint(keys: bytes) -> bytes:
    """The name of a keys container: SHA-256 of a label and its bytes, 32 bytes."""
    return hashlib.sha256(_FINGERPRINT_LABEL + keys).digest()


def join_keys(
    parameters: BfvParameters, public_key: Seeded, galois: Sequence[tuple[int, Sequence[Seeded]]]
) -> bytes:
    """The keys container of a public key and, for each Galois step, its key-switching parts."""
    head = _HEADER.pack(_KEYS, _VERSION, parameters.number, 0, 0, 0, len(galois))
    steps = struct.pack(f"<{len(galois)}H", *(step for step, _ in galois))
    parts = [public_key, *(part for _, parts in galois for part in parts)]
    return b"".join([head, steps, *(_pack_seeded(parameters, one) for one in parts)])


def parse_keys(data: bytes) -> Keys:
    """The keys that a container holds, every word checked.

    Raises:
        MalformedObject: size, version, parameter set, steps or a word is not what it must be.
    """
    parameters, mode, rows, count = _header("keys", _KEYS, data)
    _equal("keys", "mode", mode, 0)
    _equal("keys", "number of rows", rows, 0)
    if count not in (0, 2):
        raise MalformedObject(f"keys: {count} Galois steps; there are two, or none for linear models")
    _equal("keys", "length in bytes", len(data), parameters.keys_bytes(count))
    steps = struct.unpack_from(f"<{count}H", data, HEADER_BYTES)
    if any(step & (step - 1) or not 0 < step < parameters.row for step in steps) or list(steps) != sorted(
        set(steps)
    ):
        raise MalformedObject("keys: the Galois steps are not two rising powers of two within a row")
    body, size = memoryview(data)[HEADER_BYTES + 2 * count :], parameters.key_part_bytes
    primes, width = len(parameters.primes), len(parameters.data_primes)
    every = [
        _seeded(parameters, body[start : start + size], primes, "key") for start in range(0, len(body), size)
    ]
    parts = tuple(tuple(every[1 + width * i : 1 + width * (i + 1)]) for i in range(count))
    return Keys(parameters, steps, every[0], parts, fingerprint(data))


def check_keys_serve(keys: Keys, manifest: Manifest) -> None:
    """Checks that queries under these keys can be evaluated by the model, in either mode.

    Raises:
        OtherKeys: their parameters are others, or a Galois step that the model rotates by is missing.
    """
    if keys.parameters != manifest.parameter_set or not set(manifest.steps) <= set(keys.steps):
        raise OtherKeys(
            f"these keys do not serve model {manifest.name}: make keys for {manifest.parameters} with "
            f"Galois steps {', '.join(map(str, manifest.steps)) or '(none)'}"
        )


def query_bytes(manifest: Manifest, mode: int, rows: int) -> int:
    """The length of a query."""
    count = rows if mode == ROWS else manifest.inputs
    return HEADER_BYTES + _NAMES + count * manifest.parameter_set.query_ciphertext_bytes


def max_query_bytes(manifest: Manifest) -> int:
    """The length of the largest query to a model: what an upload is bounded by before it is read."""
    modes = [ROWS, COLUMNS] if manifest.columns else [ROWS]
    return max(query_bytes(manifest, mode, MAX_ROWS) for mode in modes)


def join_query(
    manifest: Manifest, mode: int, rows: int, keys_fingerprint: bytes, ciphertexts: Iterable[Seeded]
) -> bytes:
    """The query container of these ciphertexts.

    Raises:
        UsageError: their number is not that of the mode, or there are no rows or too many.
    """
    packed = [_pack_seeded(manifest.parameter_set, one) for one in ciphertexts]
    if not 1 <= rows <= MAX_ROWS:
        raise UsageError(f"a query has 1 to {MAX_ROWS} rows, not {rows}")
    head = _head(_QUERY, manifest, mode, rows, len(packed), keys_fingerprint)
    whole = b"".join([head, *packed])
    if len(whole) != query_bytes(manifest, mode, rows):
        raise UsageError(f"{len(packed)} ciphertexts are no query of {rows} rows in mode {mode}")
    return whole


def query_rows(data: bytes) -> int:
    """How many rows a query claims to have, from its header alone: what a quota counts.

    Raises:
        MalformedObject: it has no header of a query.
    """
    _, _, rows, _ = _header("query", _QUERY, data)
    if not 1 <= rows <= MAX_ROWS:
        raise MalformedObject(f"query: it has {rows} rows; 1 to {MAX_ROWS} are allowed")
    return rows


def belongs_to(data: bytes) -> tuple[bytes, str]:
    """The keys' fingerprint and the model's digest that a query or reply names; nothing else is checked.

    Raises:
        MalformedObject: it is neither.
    """
    if data[:4] not in (_QUERY, _REPLY) or len(data) < HEADER_BYTES + _NAMES:
        raise MalformedObject("this is neither a query nor a reply of Pericard's")
    names = data[HEADER_BYTES : HEADER_BYTES + _NAMES]
    return names[:32], names[32:].hex()


def parse_query(data: bytes, manifest: Manifest, keys_fingerprint: bytes) -> Query:
    """A query to the model under the keys of that fingerprint.

    Raises:
        MalformedObject: size, version, parameter set, mode or rows are not what they must be.
        OtherKeys: it was made under other keys.
        OtherModel: it was made for another model.
    """
    parameters, mode, rows, count = _header("query", _QUERY, data)
    query_rows(data)
    _check_belongs("query", data, parameters, mode, manifest, keys_fingerprint)
    _equal("query", "number of ciphertexts", count, rows if mode == ROWS else manifest.inputs)
    _equal("query", "length in bytes", len(data), query_bytes(manifest, mode, rows))
    return Query(parameters, mode, rows, count, memoryview(data)[HEADER_BYTES + _NAMES :])


def pack_reply_ciphertext(parameters: BfvParameters, words: Words) -> bytes:
    """A ciphertext of a reply: uint64[2, N] under the first prime, as it travels."""
    return pack(words.reshape(-1), parameters.bits[0])


def reply_bytes(manifest: Manifest, mode: int, rows: int) -> int:
    """The length of a reply."""
    count = rows * manifest.reply_ciphertexts(ROWS) if mode == ROWS else manifest.reply_ciphertexts(COLUMNS)
    return HEADER_BYTES + _NAMES + count * manifest.parameter_set.reply_ciphertext_bytes


def join_reply(
    manifest: Manifest, mode: int, rows: int, keys_fingerprint: bytes, ciphertexts: Iterable[bytes]
) -> bytes:
    """The reply container of ciphertexts that are packed already, the rows' one after another.

    Raises:
        UsageError: their number or size is not that of the mode.
    """
    head = _head(_REPLY, manifest, mode, rows, manifest.reply_ciphertexts(mode), keys_fingerprint)
    whole = b"".join([head, *ciphertexts])
    if len(whole) != reply_bytes(manifest, mode, rows):
        raise UsageError(f"these ciphertexts are no reply to {rows} rows in mode {mode}")
    return whole


@dataclass(frozen=True)
class EncryptedReply:
    """A reply whose shape, keys and model are checked; its words are, when they are asked for.

    Attributes:
        mode: `manifest.ROWS` or `manifest.COLUMNS`.
        rows: of data.
        count: ciphertexts of a row in mode rows, of all rows in mode columns.
    """

    parameters: BfvParameters
    mode: int
    rows: int
    count: int
    _body: memoryview = field(repr=False)

    def ciphertexts(self, row: int = 0) -> Iterator[Words]:
        """The ciphertexts of a row (all of them in mode columns): uint64[2, N] each, below the first prime.

        Raises:
            MalformedObject: a word is not below its prime.
        """
        size = self.parameters.reply_ciphertext_bytes
        for index in range(row * self.count, (row + 1) * self.count):
            words = unpack(self._body[index * size : (index + 1) * size], self.parameters.bits[0])
            _check_words(self.parameters, words.reshape(1, -1), f"reply: ciphertext {index + 1}")
            yield words.reshape(2, self.parameters.degree)


def parse_reply(data: bytes, manifest: Manifest, keys_fingerprint: bytes) -> EncryptedReply:
    """A reply of the model to a query under the keys of that fingerprint.

    Raises:
        MalformedObject: size, version, parameter set, mode or rows are not what they must be.
        OtherKeys: it answers a query under other keys.
        OtherModel: another model answers.
    """
    parameters, mode, rows, count = _header("reply", _REPLY, data)
    if not 1 <= rows <= MAX_ROWS:
        raise MalformedObject(f"reply: it has {rows} rows; 1 to {MAX_ROWS} are allowed")
    _check_belongs("reply", data, parameters, mode, manifest, keys_fingerprint)
    _equal("reply", "number of ciphertexts", count, manifest.reply_ciphertexts(mode))
    _equal("reply", "length in bytes", len(data), reply_bytes(manifest, mode, rows))
    return EncryptedReply(parameters, mode, rows, count, memoryview(data)[HEADER_BYTES + _NAMES :])


def _head(
    magic: bytes, manifest: Manifest, mode: int, rows: int, count: int, keys_fingerprint: bytes
) -> bytes:
    names = keys_fingerprint + bytes.fromhex(manifest.digest)
    return _HEADER.pack(magic, _VERSION, manifest.parameter_set.number, mode, 0, rows, count) + names


def _header(what: str, magic: bytes, data: bytes) -> tuple[BfvParameters, int, int, int]:
    """Parameter set, mode, rows and count of any container."""
    if len(data) < HEADER_BYTES or data[:4] != magic:
        raise MalformedObject(f"{what}: this is no {what} file of Pericard's")
    _, version, number, mode, zero, rows, count = _HEADER.unpack_from(data)
    _equal(what, "version", version, _VERSION)
    _equal(what, "reserved byte", zero, 0)
    return sets.numbered(number), mode, rows, count


def _check_belongs(
    what: str, data: bytes, parameters: BfvParameters, mode: int, manifest: Manifest, keys_fingerprint: bytes
) -> None:
    """What queries and replies share: parameters, a mode that the model has, the names of keys and model."""
    _equal(what, "parameter set", parameters.name, manifest.parameters)
    if mode not in (ROWS, COLUMNS) or (mode == COLUMNS and not manifest.columns):
        raise MalformedObject(f"{what}: model {manifest.name} does not answer in mode {mode}")
    names = data[HEADER_BYTES : HEADER_BYTES + _NAMES]
    if names[:32] != keys_fingerprint:
        raise OtherKeys(f"{what}: it was made with other keys: choose those that it was encrypted under")
    if names[32:] != bytes.fromhex(manifest.digest):
        raise OtherModel(
            f"{what}: it is for another model, or another version of {manifest.name}: encrypt again"
        )


def _pack_seeded(parameters: BfvParameters, one: Seeded) -> bytes:
    if len(one.seed) != SEED_BYTES:
        raise UsageError(f"a seed has {SEED_BYTES} bytes")
    return b"".join([*map(pack, one.c0, parameters.bits), one.seed])


def _seeded(parameters: BfvParameters, data: memoryview, primes: int, what: str) -> Seeded:
    c0 = np.empty((primes, parameters.degree), np.uint64)
    start = 0
    for prime in range(primes):
        end = start + parameters.block_bytes(prime)
        c0[prime] = unpack(data[start:end], parameters.bits[prime])
        start = end
    _check_words(parameters, c0, what)
    return Seeded(c0, bytes(data[start:]))


def _check_words(parameters: BfvParameters, words: Words, what: str) -> None:
    """Refuses a word that is not below its prime; row i of uint64[primes, …] is under prime i."""
    limits = np.array(parameters.primes[: len(words)], np.uint64)[:, None]
    if (words >= limits).any():
        raise MalformedObject(f"{what}: a word is not below its prime: it was damaged, or is no ciphertext")


def _equal(what: str, field_name: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise MalformedObject(f"{what}: its {field_name} is {found}, not {wanted}")
