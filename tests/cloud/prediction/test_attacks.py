"""What the scheme promises, attacked with a real SEAL: each attack works with its defence off, and only then.

A client here has its secret key and sends what it likes. That a defence can be left out is why the steps of
`evaluate.prepare` are functions of their own; the product calls them in one way only.
"""

import dataclasses
import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cloud.prediction.test_worker import publish
from tests.parts.predicting import Client, ensemble, honest_bits, manifest_of

from pericard_cloud.prediction import diagonals, evaluate, places, weights, worker
from pericard_cloud.prediction.engine import LoadedKeys
from pericard_cloud.prediction.model import TreeModel
from pericard_cloud.prediction.places import Placed
from pericard_cloud.prediction.published import Published
from pericard_cloud.prediction.randomness import below, permutation
from pericard_cloud.prediction.weights import Weights
from pericard_protocol.prediction import geometry
from pericard_protocol.prediction.objects import parse_keys

TREES, DEPTH = 20, 3


class Bench:
    """A model, a client of it, and queries with parts of the scheme replaced."""

    def __init__(self, model: TreeModel, client: Client | None = None, **shape: Any) -> None:
        self.published = Published(manifest_of(model, **shape), model)
        self.model, self.layout, self.engine = model, self.published.layout, self.published.engine
        self.client = client or Client(self.published.manifest)
        self.t = self.layout.modulus

    def prepare(
        self,
        *,
        weaken: Callable[[Weights], Weights] = lambda drawn: drawn,
        displace: Callable[[Placed], Placed] = lambda placed: placed,
        check_copies: bool = True,
    ) -> evaluate.PreparedQuery:
        placed = displace(places.place(self.model, self.layout))
        drawn = weaken(weights.draw(placed.path.shape, self.model.group, self.t))
        plaintexts = diagonals.Plaintexts(self.model, self.layout, placed, drawn, check_copies=check_copies)
        return evaluate.encode(plaintexts, self.layout, self.engine)

    def ask(self, slots: Any, prepared: evaluate.PreparedQuery) -> tuple[Any, Any]:
        """Both numbers of every place, int64."""
        query = self.client.fresh(slots)
        reply = evaluate.evaluate(query, prepared, self.layout, self.engine, self.client.loaded)
        first, second = self.client.places(reply)
        return first.astype(np.int64), second.astype(np.int64)

    def honest(self, seed: int) -> Any:
        """uint64[N]: the slots of an honest query."""
        (bits,) = honest_bits(np.random.default_rng(seed), 1)
        return geometry.slots(bits.astype(np.uint64), self.published.manifest)

    def copies(self, *rows: Any) -> Any:
        """uint64[N]: other bits in each copy of the input."""
        slots = np.zeros((self.layout.inputs, self.layout.copies), np.uint64)
        for copy, row in enumerate(rows):
            slots[: len(row), copy] = row
        return np.tile(slots.ravel(), 2)

    def centred(self, values: Any) -> Any:
        return (np.asarray(values) + self.t // 2) % self.t - self.t // 2


@pytest.fixture(scope="module")
def bench() -> Bench:
    rng = np.random.default_rng(1)
    return Bench(ensemble(rng, TREES, DEPTH, stop=0.0, span=400))


# --- slots that are no bits


@pytest.mark.parametrize("right", [1, 2])
def test_numbers_that_are_no_bits_reach_no_leaf(bench: Bench, right: int) -> None:
    """With one weight a leaf, x in all slots cancels in every leaf of `right` decisions to the right."""
    t, left = bench.t, DEPTH - right
    x = right * pow(right - left, -1, t) % t  # left·x + right·(1 - x) = 0
    slots = np.full(bench.layout.degree, x, np.uint64)

    def one_weight(drawn: Weights) -> Weights:
        return Weights(drawn.a[:, :1].repeat(DEPTH, 1), drawn.b[:, :1].repeat(DEPTH, 1), drawn.share)

    first, second = bench.ask(slots, bench.prepare(weaken=one_weight))
    read = second[first == 0]
    assert len(read) >= 3 * TREES  # of 8 leaves a tree; some impossible leaves besides
    # All of a tree's have its share: the leaves' differences are there to read.
    near = np.abs(bench.centred(read[:, None] - read[None, :])) <= 800
    assert near.sum() >= 9 * TREES

    # By chance one of 256 places has a zero in 160 queries; its second number is random.
    assert sum(int((bench.ask(slots, bench.prepare())[0] == 0).sum()) for _ in range(3)) <= 2


def test_a_slot_that_is_no_bit_only_contradicts(bench: Bench) -> None:
    """Whatever number: the trees that it is on the path of have no leaf, the others theirs."""
    bits = honest_bits(np.random.default_rng(2), 1)[0]
    (active,) = np.nonzero(bench.model.reached(bits[None])[0])
    slot = int(bench.model.path[active[0], 0])
    spared = int((bench.model.path[active] != slot).all(axis=1).sum())
    assert spared < TREES
    for number in (2, 3, bench.t - 1, 12345):
        strange = bits.astype(np.uint64)
        strange[slot] = number
        slots = geometry.slots(strange, bench.published.manifest)
        assert int((bench.ask(slots, bench.prepare())[0] == 0).sum()) in (spared, spared + 1)


# --- copies that disagree


def _anywhere(placed: Placed) -> Placed:
    return dataclasses.replace(placed, place=permutation(len(placed.place)))


def test_copies_that_disagree_show_no_two_leaves_of_a_tree(bench: Bench) -> None:
    rows = honest_bits(np.random.default_rng(3), 2)
    leaves = [np.nonzero(one)[0] for one in bench.model.reached(rows)]
    values = bench.model.value.astype(int)
    wanted = {int(values[a] - values[b]) for a, b in zip(*leaves, strict=True) if a != b}
    slots = bench.copies(*rows)

    def found(queries: int, **weaker: Any) -> int:
        number = 0
        for _ in range(queries):
            first, second = bench.ask(slots, bench.prepare(**weaker))
            zero = np.flatnonzero(first == 0)
            # Place p reads copy p mod 2.
            one, other = second[zero[zero % 2 == 0]], second[zero[zero % 2 == 1]]
            differences = bench.centred(one[:, None] - other[None, :])
            number += sum(int(each) in wanted for each in differences[np.abs(differences) <= 800])
        return number

    # Anywhere: a quarter of the trees show both leaves. By chance a pair of 100 is near a wanted one
    # once in 20 queries.
    assert found(3, displace=_anywhere, check_copies=False) >= 6
    assert found(3) <= 2


def _one_bit_of_several_trees(model: TreeModel, rng: np.random.Generator) -> tuple[Any, Any, list[int]]:
    """Bits, the same with one changed, and by how much each of at least two trees changes."""
    for bits in honest_bits(rng, 50):
        before = model.reached(bits[None])[0]
        slots, count = np.unique(model.path[before], return_counts=True)
        for slot in slots[count > 1]:
            changed = bits.copy()
            changed[slot] ^= 1
            after = model.reached(changed[None])[0]
            step = np.zeros(TREES, int)
            np.add.at(step, model.tree[after], model.value[after])
            np.add.at(step, model.tree[before], -model.value[before].astype(int))
            if np.count_nonzero(step) > 1:
                return bits, changed, step[step != 0].tolist()
    raise AssertionError("no bit decides for two trees: another seed")


def test_copies_that_disagree_give_no_sum_over_some_of_the_trees(bench: Bench) -> None:
    """One bit differs between the copies, so each query's fresh half of its trees would show by its sum."""
    rng = np.random.default_rng(4)
    model = bench.model
    bits, changed, step = _one_bit_of_several_trees(model, rng)
    base = int(model.sums(bits[None])[0, 0])
    partial = {
        base + int(sum(chosen)) for size in range(len(step) + 1) for chosen in combinations(step, size)
    }
    torn = bench.copies(bits, changed)

    def sums(queries: int, check_copies: bool) -> list[int]:
        asked = []
        for _ in range(queries):
            first, second = bench.ask(torn, bench.prepare(check_copies=check_copies))
            assert int((first == 0).sum()) == TREES
            asked.append(int(bench.centred(second[first == 0].sum())))
        return asked

    seen = sums(8, check_copies=False)
    assert set(seen) <= partial
    assert len(set(seen)) > 1
    # Uniform sums: one of 4 or 8 values among 40,961 comes by chance once in 600 runs.
    checked = sums(4, check_copies=True)
    assert len(set(checked) & partial) <= 1
    assert len(set(checked)) >= 3


def test_rows_of_slots_that_disagree_give_no_sum_of_both(bench: Bench) -> None:
    """Row 0 finds the leaves, row 1 has their values: those of another input are random."""
    rows = honest_bits(np.random.default_rng(5), 2)
    one, other = (geometry.slots(row.astype(np.uint64), bench.published.manifest) for row in rows)
    mixed = np.concatenate([one[: bench.layout.row], other[bench.layout.row :]])
    sums = set()
    for _ in range(4):
        first, second = bench.ask(mixed, bench.prepare())
        assert int((first == 0).sum()) == TREES
        sums.add(int(bench.centred(second[first == 0].sum())))
    assert len(sums) == 4
    assert len(sums & set(bench.model.sums(rows)[:, 0].tolist())) == 0


# --- what a reply shows besides its zeros


def test_what_is_no_leaf_of_the_input_looks_random(bench: Bench) -> None:
    """An honest client's reply: its places' numbers but for the zeros are uniform, both of them."""
    slots = geometry.slots(
        honest_bits(np.random.default_rng(6), 1)[0].astype(np.uint64), bench.published.manifest
    )
    first, second = np.concatenate([bench.ask(slots, bench.prepare()) for _ in range(6)], axis=1)
    assert int((first == 0).sum()) == 6 * TREES
    for numbers in (first[first != 0], second):
        counts = np.bincount(numbers * 16 // bench.t, minlength=16)
        expected = len(numbers) / 16
        # chi-square with 15 degrees of freedom passes 44 once in 10,000 times
        assert ((counts - expected) ** 2 / expected).sum() < 44


def test_second_weights_can_be_zero() -> None:
    """Else a contradicted leaf's second number would never be value + share, and many replies tell."""
    b = weights.draw((400_000, 3), np.zeros(1, np.int32), 40961).b
    zeros = int((b == 0).sum())
    assert 5 <= zeros <= 75  # 29 expected
    assert not (below(40961, b.size, 1) == 0).any()  # what leaving zero out would give


def test_places_are_fresh(bench: Bench) -> None:
    slots = geometry.slots(
        honest_bits(np.random.default_rng(7), 1)[0].astype(np.uint64), bench.published.manifest
    )
    zero = [set(np.flatnonzero(bench.ask(slots, bench.prepare())[0] == 0).tolist()) for _ in range(2)]
    assert len(zero[0] & zero[1]) < TREES // 2


# --- how much of a capacity a model uses


def _sized(client: Client, trees: int, padded: bool) -> tuple[int, float]:
    """Diagonals in use and the noise's standard deviation before flooding, of a model with 8·trees leaves."""
    bench = _of_capacity(trees, client)

    def unpadded(placed: Placed) -> Placed:
        path = placed.path.copy()
        path[len(bench.model.tree) :] = -1
        return dataclasses.replace(placed, path=path)

    used, deviations = [], []
    for _ in range(2):
        prepared = bench.prepare(
            displace=(lambda placed: placed) if padded else unpadded, check_copies=padded
        )
        (result,) = evaluate.combine(
            client.fresh(bench.honest(9)), prepared, bench.layout, bench.engine, client.loaded
        )
        used.append(sum(one is not None for one in prepared.factors[0]))
        deviations.append(client.noise(result).std())
    return min(used), float(np.mean(deviations))


def _of_capacity(trees: int, client: Client | None = None) -> Bench:
    model = ensemble(np.random.default_rng(8), trees, DEPTH, stop=0.0, span=100)
    return Bench(model, client, plan=(128,), blocks=(((0, 256),),))


def test_a_small_model_looks_as_a_full_one() -> None:
    """To one client: keys differ by much more, up to twice the noise."""
    client = _of_capacity(32).client
    (few, quiet), (_, loud) = _sized(client, 4, padded=False), _sized(client, 32, padded=False)
    assert few < 128 * 0.8
    (few, quiet_padded), (many, loud_padded) = _sized(client, 4, padded=True), _sized(client, 32, padded=True)
    assert few == many == 128
    assert quiet < loud * 0.85
    assert quiet_padded == pytest.approx(loud_padded, rel=0.1)  # 3 % is a deviation of one query's


def test_a_diagonal_of_zeros_costs_a_product_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def multiply_plain(self, *pair: Any) -> Any:
            counted.append(pair)
            return real.multiply_plain(*pair)

    real = bench.engine.evaluator
    monkeypatch.setattr(bench.engine, "evaluator", Counting())
    prepared = bench.prepare()
    for empty in (0, 1, 40):
        factors = (None,) * empty + prepared.factors[0][empty:]
        counted.clear()
        query = bench.client.fresh(np.ones(bench.layout.degree, np.uint64))
        evaluate.combine(
            query,
            dataclasses.replace(prepared, factors=(factors,)),
            bench.layout,
            bench.engine,
            bench.client.loaded,
        )
        assert len(counted) == 128


# --- the noise of a reply, with the secret key in hand


class Noise:
    """One query's weights and what its noise is before flooding."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        slots = bench.honest(9)
        self.result = evaluate.combine(
            bench.client.fresh(slots), bench.prepare(), bench.layout, bench.engine, bench.client.loaded
        )[0]
        self.plain = bench.client.noise(self.result)

    def advantage(self, deviation: float) -> float:
        """How many standard deviations the flooded noise lies in the direction of what it hides."""
        flooded = self.bench.client.noise(self.bench.engine.flood(self.result, deviation))
        return float(flooded @ self.plain / (deviation * np.linalg.norm(self.plain)))


@pytest.fixture(scope="module")
def noise(bench: Bench) -> Noise:
    return Noise(bench)


def test_the_noise_of_a_reply_does_not_show_what_it_was_made_of(noise: Noise) -> None:
    """The best test against a known noise v is a projection: it tells at most |v| / deviation."""
    deviation = noise.bench.engine.flood_deviation
    assert np.linalg.norm(noise.plain) / (2 * deviation) < 2**-15
    assert max(abs(noise.advantage(deviation)) for _ in range(5)) < 5
    # A flood 2**24 times narrower shows it at once: the test can tell.
    assert noise.advantage(deviation / 2**24) > 20


def test_the_flooded_noise_is_the_gaussian_and_decrypts(noise: Noise) -> None:
    engine, client = noise.bench.engine, noise.bench.client
    flooded = client.noise(engine.flood(noise.result, engine.flood_deviation)) / engine.flood_deviation
    assert flooded.std() == pytest.approx(1, abs=0.06)  # of 4,096: 1.1 % is a deviation
    assert (flooded**4).mean() == pytest.approx(3, abs=0.8)
    assert np.abs(flooded).max() < 8.3
    half = math.prod(noise.bench.engine.parameters.data_primes) / 2 / noise.bench.t
    assert np.abs(noise.plain).max() < half / 2**14


def test_the_second_polynomial_of_a_reply_is_fresh(noise: Noise) -> None:
    """It is a function of the diagonals until an encryption of zero is added; flooding does not touch it."""
    engine, client, bench = noise.bench.engine, noise.bench.client, noise.bench

    query = client.fresh(np.ones(bench.layout.degree, np.uint64))
    prepared = bench.prepare()

    def results() -> Any:
        return evaluate.combine(query, prepared, bench.layout, engine, client.loaded)[0]

    flooded = [engine.flood(results(), engine.flood_deviation).to_string() for _ in range(2)]
    half = 2 * 4096 * 8
    assert flooded[0][-half:] == flooded[1][-half:]
    concealed = [engine.conceal(results(), client.loaded) for _ in range(2)]
    assert (concealed[0][1] == concealed[1][1]).mean() < 0.01


# --- the server's view


def test_two_inputs_look_the_same_to_the_server(tmp_path: Path, bench: Bench) -> None:
    """Sizes, headers and how many bits are set: all that a transcript shows without the secret key."""
    client = bench.client
    folder = publish(tmp_path, bench.model, bench.published.manifest)
    seen = []
    for bits in (np.zeros((2, 930), np.uint8), np.ones((2, 930), np.uint8)):
        query = client.query(bits)
        reply = worker.evaluate(folder, client.keys, query, 0, 2)
        words = np.frombuffer(query[76:], np.uint8)
        seen.append((len(query), query[:76], [len(one) for one in reply], np.unpackbits(words).mean()))
    assert seen[0][:3] == seen[1][:3]
    # Half of 600,000 bits are set: a deviation is 0.0007.
    assert seen[0][3] == pytest.approx(0.5, abs=0.005)
    assert seen[1][3] == pytest.approx(0.5, abs=0.005)


# --- crafted keys: what is promised only for well-formed ones


def test_a_crafted_public_key_hurts_only_its_owner(bench: Bench) -> None:
    """Somebody's words as a key load and evaluate; the reply opens to nothing."""
    container = bytearray(bench.client.keys)
    container[16:1000] = bytes(984)
    stranger = Client(bench.published.manifest)
    crafted = LoadedKeys(bench.engine, parse_keys(bytes(container)))
    slots = bench.honest(9)
    reply = evaluate.evaluate(stranger.fresh(slots), bench.prepare(), bench.layout, bench.engine, crafted)
    assert int(stranger.read(reply).zeros.sum()) <= 2
