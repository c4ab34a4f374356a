"""An additive model's answer: one product with a plaintext for each class, no rotation, no Galois key.

In mode rows an input slot lies c times in each of two rows. Its weight is spread over these 2c slots as a sum
of random shares, so a client whose copies disagree gets a random answer; and each slot of the reply is
masked, the masks adding up to zero. The client adds all slots: it learns the sum and no product.

What the answers themselves give away no mask can hide: F·E + 1 honest rows are a system of equations for all
weights.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pericard_cloud.prediction.engine import Engine, LoadedKeys
from pericard_cloud.prediction.evaluate import PreparedQuery
from pericard_cloud.prediction.layout import Layout
from pericard_cloud.prediction.model import LinearModel
from pericard_cloud.prediction.randomness import Words, below
from pericard_cloud.prediction.weights import zero_sum


def prepare(model: LinearModel, layout: Layout, engine: Engine) -> PreparedQuery:
    """Draws and encodes one query's plaintexts: for each class a factor and a constant."""
    return PreparedQuery(
        factors=tuple((engine.factor(spread(line, layout)),) for line in model.weight),
        constants=tuple(engine.encode(masks(layout)) for _ in model.weight),
        dummy=engine.factor(below(layout.modulus, layout.degree, 1)),
    )


def spread(weight: Any, layout: Layout) -> Words:
    """uint64[N]: int32[slots] as shares over the copies of each input slot, in both rows."""
    modulus = np.uint64(layout.modulus)
    shares = below(layout.modulus, layout.degree).reshape(2, layout.inputs, layout.copies)
    target = np.zeros(layout.inputs, np.uint64)
    target[: len(weight)] = np.mod(weight, layout.modulus)
    others = (shares.sum(axis=(0, 2), dtype=np.uint64) - shares[0, :, 0]) % modulus
    shares[0, :, 0] = (target + modulus - others) % modulus
    return shares.reshape(-1)


def masks(layout: Layout) -> Words:
    """uint64[N], uniform, but their sum is 0 modulo t."""
    drawn = below(layout.modulus, layout.degree)
    drawn[-1] = zero_sum(drawn[:-1], layout.modulus)
    return drawn


def evaluate_columns(
    load: Callable[[int], Any], model: LinearModel, engine: Engine, keys: LoadedKeys
) -> list[Words]:
    """The reply to rows of data in mode columns: one ciphertext a class, row r's sum in slot r.

    Args:
        load: gives the ciphertext of an input slot.
        model: the weights; a slot's ciphertext is multiplied by one number.
        engine: of the model's parameters.
        keys: the client's.
    """
    parameters, evaluator = engine.parameters, engine.evaluator
    totals: list[Any] = [None] * model.classes
    dummy = engine.factor(np.ones(parameters.degree, np.uint64))
    for slot in range(model.weight.shape[1]):
        encrypted = evaluator.transform_to_ntt(load(slot))
        for one, weight in enumerate(np.mod(model.weight[:, slot], parameters.plain)):
            factor = engine.factor(np.full(parameters.degree, weight, np.uint64))
            product = evaluator.multiply_plain(encrypted, dummy if factor is None else factor)
            if factor is not None and totals[one] is not None:
                evaluator.add_inplace(totals[one], product)
            elif factor is not None:
                totals[one] = product
    replies = []
    for total in totals:
        if total is None:  # no weight at all: SEAL has no ciphertext of a product with zero
            total = keys.encryptor.encrypt_zero()
        else:
            evaluator.transform_from_ntt_inplace(total)
        replies.append(engine.conceal(total, keys))
    return replies
