"""The kit and a cloud on seal-python understand each other through our bytes, in both parameter sets."""

import numpy as np
import pytest
import seal as library
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.parts import prediction as spec
from tests.parts.seal_peer import Cloud, context

from pericard_client import seal
from pericard_client.errors import KeyTrouble
from pericard_client.seal import SecretKey
from pericard_protocol.errors import UsageError
from pericard_protocol.prediction import geometry, objects, seal_bytes
from pericard_protocol.prediction.errors import MalformedObject, OtherKeys
from pericard_protocol.prediction.manifest import COLUMNS, ROWS
from pericard_protocol.prediction.parameters import S1, S3, BfvParameters

BOTH = pytest.mark.parametrize("parameters", [S1, S3], ids=lambda one: one.name)


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[SecretKey, bytes]]:
    return {one.name: seal.make_keys(one, (2, 32)) for one in (S1, S3)}


@BOTH
def test_the_primes_and_hashes_are_seals_own(parameters: BfvParameters) -> None:
    chain = context(parameters)
    primes = chain.key_context_data().parms().coeff_modulus()
    assert tuple(one.value() for one in primes) == parameters.primes
    assert len(chain.first_context_data().parms().coeff_modulus()) == len(parameters.data_primes)
    assert np.array(chain.first_parms_id(), "<u8").tobytes() == parameters.seal_hash(2)
    assert np.array(chain.last_parms_id(), "<u8").tobytes() == parameters.seal_hash(1)
    assert library.SEALContext(
        chain.key_context_data().parms(), True, library.sec_level_type.tc128
    ).parameters_set()


@BOTH
def test_a_query_is_what_seal_itself_would_send(
    parameters: BfvParameters, made: dict[str, tuple[SecretKey, bytes]]
) -> None:
    """It decrypts to its slots, with the whole noise budget of a fresh ciphertext."""
    secret, _ = made[parameters.name]
    own, chain = secret.arithmetic, context(parameters)
    slots = np.random.default_rng(3).integers(0, parameters.plain, parameters.degree).astype(np.uint64)
    loaded = chain.from_cipher_str(seal_bytes.query_ciphertext(parameters, own.encrypt(slots)))
    key = chain.from_secret_str(seal_bytes.secret_key(parameters, secret.words))
    decryptor, encoder = library.Decryptor(chain, key), library.BatchEncoder(chain)
    assert (encoder.decode_uint64(decryptor.decrypt(loaded)) == slots).all()
    fresh = library.Encryptor(chain, key).encrypt_symmetric(encoder.encode(slots))
    budgets = [decryptor.invariant_noise_budget(one) for one in (loaded, fresh)]
    assert abs(budgets[0] - budgets[1]) <= 1


@BOTH
def test_the_cloud_computes_with_the_keys(
    parameters: BfvParameters, made: dict[str, tuple[SecretKey, bytes]]
) -> None:
    secret, public = made[parameters.name]
    cloud = Cloud(objects.parse_keys(public))
    slots = np.arange(parameters.degree, dtype=np.uint64)
    rows = slots.reshape(2, -1)
    for step in (2, 32):
        turned = cloud.evaluator.rotate_rows(cloud.load(secret.arithmetic.encrypt(slots)), step, cloud.galois)
        reply = cloud.packed(turned)
        bits = parameters.bits[0]
        words = spec_unpack(reply, bits, parameters.degree)
        assert (secret.arithmetic.decrypt(words) == np.roll(rows, -step, axis=1).ravel()).all()
    with pytest.raises(ValueError, match="Galois key not present"):
        cloud.evaluator.rotate_rows(cloud.load(secret.arithmetic.encrypt(slots)), 4, cloud.galois)
    sent = spec_unpack(cloud.encrypted(slots), parameters.bits[0], parameters.degree)
    assert (secret.arithmetic.decrypt(sent) == slots).all()


def spec_unpack(data: bytes, bits: int, degree: int) -> NDArray[np.uint64]:
    """The document's packing, once more, the other way round."""
    number = int.from_bytes(data, "little")
    text = f"{number:0{8 * len(data)}b}"
    words = [int(text[len(text) - (i + 1) * bits : len(text) - i * bits], 2) for i in range(2 * degree)]
    return np.array(words, np.uint64).reshape(2, degree)


def test_what_seal_writes_comes_back_byte_for_byte() -> None:
    """Our own headers are SEAL's, but for the version that an older SEAL accepts."""
    chain = context(S1)
    generator = library.KeyGenerator(chain)
    key = generator.secret_key().to_string()
    again = seal_bytes.secret_key(S1, seal_bytes.secret_words(key, S1))
    ciphertext = library.Encryptor(chain, generator.secret_key()).encrypt_symmetric(
        library.BatchEncoder(chain).encode(np.arange(4096, dtype=np.uint64))
    )
    written = ciphertext.to_string()
    words = seal_bytes.ciphertext_words(written, S1, 2)
    for ours, theirs, inner in (
        (again, key, 64),
        (seal_bytes.ciphertext(S1, words, ntt=False), written, 89),
    ):
        same = bytearray(theirs)
        assert (same[4], same[inner + 4]) == (4, 4)
        same[4] = same[inner + 4] = 1
        assert ours == bytes(same)


def test_reading_what_seal_did_not_write_is_our_own_mistake() -> None:
    for read in (
        lambda: seal_bytes.secret_words(bytes(100), S1),
        lambda: seal_bytes.ciphertext_words(bytes(131184), S1, 2),
        lambda: seal_bytes.galois_parts(_galois([2, 32]), S1, (2, 64)),
        lambda: seal_bytes.galois_parts(_galois([2]), S1, (2, 32)),
    ):
        with pytest.raises(UsageError):
            read()


def _galois(steps: list[int]) -> bytes:
    made = library.GaloisKeys()
    library.KeyGenerator(context(S1)).create_galois_keys(steps, made)
    return bytes(made.to_string())


def test_seeds_and_ciphertexts_never_repeat(made: dict[str, tuple[SecretKey, bytes]]) -> None:
    secret, public = made["s1"]
    slots = np.ones(4096, np.uint64)
    seen = [secret.arithmetic.encrypt(slots) for _ in range(3)]
    keys = objects.parse_keys(public)
    every = [*seen, keys.public_key, *(part for parts in keys.parts for part in parts)]
    assert len({one.seed for one in every}) == len(every)
    assert len({one.c0.tobytes() for one in every}) == len(every)


def test_no_word_of_a_secret_key_is_in_its_repr(made: dict[str, tuple[SecretKey, bytes]]) -> None:
    secret, _ = made["s1"]
    assert "words" not in repr(secret)
    assert str(secret.words[0, 0]) not in repr(secret)


@pytest.mark.parametrize("name", ["s1", "s3"])
def test_a_reply_opens_to_its_places(name: str, made: dict[str, tuple[SecretKey, bytes]]) -> None:
    """Two rows of three classes, as the cloud would spread them over slots, under the user's public key."""
    secret, public = made[name]
    parameters = secret.arithmetic.parameters
    manifest = spec.three_classes(parameters=name, input_slots=parameters.row // 2)
    cloud, t = Cloud(objects.parse_keys(public)), parameters.plain
    places = [[0, 5], [0, 6], [0, t - 4], [0, 9], [3, 7], [0, 1]]
    full = {"input_slots": manifest.input_slots, "plan": manifest.plan}
    slots = spec.spread(full, t, parameters.degree, places)
    packed = [cloud.encrypted(np.array(one, np.uint64)) for one in slots] * 2
    reply = objects.join_reply(manifest, ROWS, 2, secret.fingerprint, packed)
    reading = seal.open_reply(secret, manifest, reply)
    assert reading.sums.tolist() == [[11, -3, 9]] * 2
    assert reading.zeros.tolist() == [[2, 2, 1]] * 2
    other, _ = seal.make_keys(parameters, (2, 32))
    with pytest.raises(OtherKeys):
        seal.open_reply(other, manifest, reply)
    stolen = SecretKey(other.parameters, other.steps, secret.fingerprint, other.words)
    with pytest.raises(MalformedObject, match="one leaf a tree"):
        seal.open_reply(stolen, manifest, reply)


@settings(max_examples=10)
@given(st.integers(1, 3), st.sampled_from([ROWS, COLUMNS]), st.data())
def test_a_linear_models_answers_are_those_in_the_clear(rows: int, mode: int, data: st.DataObject) -> None:
    secret, public = LINEAR
    manifest = spec.linear()
    weights = np.array(
        data.draw(
            st.lists(
                st.integers(1, 900).flatmap(lambda size: st.sampled_from([size, -size])),
                min_size=6,
                max_size=6,
            )
        ),
        np.int64,
    )
    in_bins = np.array(data.draw(st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=rows, max_size=rows)))
    query = seal.encrypt(secret, manifest, in_bins, mode)
    reply = Cloud(objects.parse_keys(public)).linear(manifest, query, weights, secret.fingerprint)
    sums = seal.open_reply(secret, manifest, reply).sums
    bits = geometry.thermometer(in_bins, manifest).astype(np.int64)
    assert sums[:, 0].tolist() == (bits @ weights).tolist()


LINEAR = seal.make_keys(S1, ())


def test_a_key_that_does_not_serve_the_model_is_refused() -> None:
    with pytest.raises(KeyTrouble, match="does not serve"):
        seal.encrypt(LINEAR[0], spec.manifest(), np.zeros((1, 2), np.int64))
    with pytest.raises(KeyTrouble):
        seal.encrypt(LINEAR[0], spec.linear(parameters="s3"), np.zeros((1, 2), np.int64))


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="4096"):
        seal.encrypt(LINEAR[0], spec.linear(), np.zeros((4097, 2), np.int64), COLUMNS)
