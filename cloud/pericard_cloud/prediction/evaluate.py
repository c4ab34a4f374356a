"""A tree model's answer to one encrypted row: weights prepared beforehand, then rotations, products, sums.

No product of two ciphertexts, so no relinearisation key; 2·leaves·D/N products with plaintexts in NTT form.
"""

from dataclasses import dataclass
from typing import Any

from pericard_cloud.prediction import diagonals, places, weights
from pericard_cloud.prediction.engine import Engine, LoadedKeys
from pericard_cloud.prediction.layout import Layout
from pericard_cloud.prediction.model import TreeModel
from pericard_cloud.prediction.randomness import Words, below


@dataclass(frozen=True, eq=False)
class PreparedQuery:
    """One query's encoded plaintexts. It answers one query: two answers under the same weights show them.

    Attributes:
        factors: for each ciphertext of the reply its diagonals; `None` is a diagonal of zeros.
        constants: for each ciphertext what is added.
        dummy: what a diagonal of zeros is multiplied by instead, so that it takes as long.
    """

    factors: tuple[tuple[Any, ...], ...]
    constants: tuple[Any, ...]
    dummy: Any


def prepare(model: TreeModel, layout: Layout, engine: Engine) -> PreparedQuery:
    """Draws and encodes the plaintexts of the next query: needs nothing of the client's."""
    placed = places.place(model, layout)
    drawn = weights.draw(placed.path.shape, model.group, layout.modulus)
    plaintexts = diagonals.Plaintexts(model, layout, placed, drawn)
    return encode(plaintexts, layout, engine)


def encode(plaintexts: diagonals.Plaintexts, layout: Layout, engine: Engine) -> PreparedQuery:
    """The plaintexts as SEAL multiplies by them."""
    every = range(len(layout.plan))
    return PreparedQuery(
        factors=tuple(tuple(map(engine.factor, plaintexts.diagonals(one))) for one in every),
        constants=tuple(engine.encode(plaintexts.constant(one)) for one in every),
        dummy=engine.factor(below(layout.modulus, layout.degree, 1)),
    )


def evaluate(
    ciphertext: Any, prepared: PreparedQuery, layout: Layout, engine: Engine, keys: LoadedKeys
) -> list[Words]:
    """The reply to one row, ready to be packed: uint64[2, N] for each K of the plan."""
    return [engine.conceal(one, keys) for one in combine(ciphertext, prepared, layout, engine, keys)]


def combine(
    ciphertext: Any, prepared: PreparedQuery, layout: Layout, engine: Engine, keys: LoadedKeys
) -> list[Any]:
    """The results with their noise as it is: for `evaluate`, and for tests of what would be seen in it."""
    evaluator, copies = engine.evaluator, layout.copies
    rotated, inputs = ciphertext, []
    for baby in range(min(layout.giant, max(layout.plan))):
        if baby:
            rotated = evaluator.rotate_rows(rotated, copies, keys.galois)
        inputs.append(evaluator.transform_to_ntt(rotated))
    results = []
    for factors, constant in zip(prepared.factors, prepared.constants, strict=True):
        total = None
        # Horner's rule: the sums of the last giant step are rotated most often.
        for first in reversed(range(0, len(factors), layout.giant)):
            if total is not None:
                evaluator.rotate_rows_inplace(total, copies * layout.giant, keys.galois)
            part = _products(inputs, factors[first : first + layout.giant], prepared.dummy, engine)
            if part is not None:
                evaluator.transform_from_ntt_inplace(part)
                if total is None:
                    total = part
                else:
                    evaluator.add_inplace(total, part)
        # Only a layout without a single leaf, which no model has, would leave nothing.
        assert total is not None  # noqa: S101
        evaluator.add_plain_inplace(total, constant)
        results.append(total)
    return results


def _products(inputs: list[Any], factors: tuple[Any, ...], dummy: Any, engine: Engine) -> Any:
    """The sum of inputs times factors, in NTT form; `None` where all factors are zero."""
    evaluator, total = engine.evaluator, None
    for encrypted, factor in zip(inputs, factors, strict=False):
        product = evaluator.multiply_plain(encrypted, dummy if factor is None else factor)
        if factor is None:
            continue
        if total is None:
            total = product
        else:
            evaluator.add_inplace(total, product)
    return total
