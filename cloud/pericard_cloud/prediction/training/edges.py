"""The public edges between a feature's bins: an input says for each edge whether its value is above.

Edges come from the data (quantiles) where a model is trained here, and from the model's own thresholds where
it was trained elsewhere.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pericard_cloud.prediction.training.errors import CannotTrain

Edges = tuple[NDArray[np.float64], ...]

MOST = 63  # edges of one feature; the manifest's bound
SLOTS = 1024  # of an input: two copies of it lie in a row under parameter set S1
MOST_SLOTS = 2048
_FEWEST = 8  # below it a wider input is worth its time


def most_edges(features: int) -> int:
    """How many edges each of so many features may have.

    Raises:
        CannotTrain: they do not fit the widest input.
    """
    if not 1 <= features <= MOST_SLOTS:
        raise CannotTrain(f"{features} features: an encrypted input has slots for 1 to {MOST_SLOTS}")
    slots = SLOTS if SLOTS // features >= _FEWEST else MOST_SLOTS
    return min(MOST, slots // features)


def input_slots(features: int, edges_per_feature: int) -> int:
    """D: the power of two from 256 that F·E slots fit.

    Raises:
        CannotTrain: none does.
    """
    needed = features * edges_per_feature
    if needed > MOST_SLOTS:
        raise CannotTrain(
            f"{features} features with {edges_per_feature} edges each need {needed} slots, of {MOST_SLOTS}"
        )
    return max(256, 1 << (needed - 1).bit_length())


def quantile_edges(column: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Rising edges that part a column's values evenly: float64[1 … most].

    Few different values are parted half way between each two.
    """
    different = np.unique(column)
    if len(different) == 1:
        return different
    if len(different) <= most + 1:
        halves = different[:-1] + (different[1:] - different[:-1]) / 2
    else:
        halves = np.quantile(column, np.linspace(0, 1, most + 2)[1:-1])
    return np.unique(halves)


def in_bins(values: NDArray[np.float64], edges: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
    """int64[rows, F]: how many edges of its feature are below each value."""
    columns = [np.searchsorted(one, values[:, at]) for at, one in enumerate(edges)]
    return np.stack(columns, axis=1).astype(np.int64)


def edge_of(threshold: float) -> float:
    """The edge e for which x > e exactly where float32(x) >= threshold, for every double x.

    Trees compare numbers of 32 bits, a client doubles. float32 rounds to the nearest, half way to the even
    one: so what counts is the middle between the threshold and the float32 below it.

    Args:
        threshold: a float32's value.
    """
    above = np.float32(threshold)
    # Exact: a float32 has 24 bits, and the middle of two neighbours 25.
    middle = (float(above) + float(np.nextafter(above, np.float32(-np.inf)))) / 2
    to_above = np.float32(middle) >= above
    return float(np.nextafter(middle, -np.inf)) if to_above else middle


def edge_under(threshold: float) -> float:
    """The edge e for which x > e exactly where float32(x) > threshold, a double, for every double x."""
    nearest = np.float32(threshold)
    above = nearest if float(nearest) > threshold else np.nextafter(nearest, np.float32(np.inf))
    return edge_of(float(above))


def threshold_edges(
    features: int, feature: NDArray[np.int64], edge: NDArray[np.float64], spare: Sequence[float]
) -> Edges:
    """The different edges that a model's decisions have, for each feature.

    Args:
        features: how many there are.
        feature: int64[decisions].
        edge: float64[decisions].
        spare: an edge for each feature that no decision asks of.
    """
    own = (np.unique(edge[feature == one]) for one in range(features))
    return tuple(one if len(one) else np.array([spare[at]]) for at, one in enumerate(own))


def fewer_edges(edges: Edges, most: int) -> tuple[Edges, Edges]:
    """At most `most` edges a feature, and for each edge that there was the kept one nearest to it in rank.

    What this moves changes answers: a model's card says how many.
    """
    kept, instead = [], []
    for one in edges:
        rank = np.unique(np.rint(np.linspace(0, len(one) - 1, min(most, len(one)))).astype(np.int64))
        nearest = rank[np.abs(np.arange(len(one))[:, None] - rank).argmin(axis=1)]
        kept.append(one[rank])
        instead.append(one[nearest])
    return tuple(kept), tuple(instead)
