"""Where a client's bits lie in the slots, and how it reads a reply: the client's half of the scheme.

Bits and sums only: encrypting and decrypting is the caller's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pericard_protocol.errors import UsageError
from pericard_protocol.prediction.errors import MalformedObject
from pericard_protocol.prediction.manifest import Manifest
from pericard_protocol.prediction.packing import Words

Counts = NDArray[np.int64]


class DecryptedScores(NamedTuple):
    """What decrypted slots say.

    Attributes:
        zeros: int64[…, outputs], leaves that were reached; zero for linear models.
        sums: int64[…, outputs], the scores, between -t/2 and t/2.
    """

    zeros: Counts
    sums: Counts


@dataclass(frozen=True)
class Answer:
    """What a model says about one row of data.

    Attributes:
        label: the most probable class; None for a regression.
        probabilities: of each class, in their order; empty for a regression, and without a link.
        value: of a regression; None otherwise.
        margins: the outputs before the link.
    """

    label: str | None
    probabilities: tuple[float, ...]
    value: float | None
    margins: tuple[float, ...]


def bins(features: NDArray[np.float64], manifest: Manifest) -> Counts:
    """In which bin each value lies: how many edges of its feature are below it.

    Args:
        features: float64[rows, F], in the manifest's order.
        manifest: the model's.

    Returns:
        int64[rows, F], from 0 to the feature's number of edges.

    Raises:
        UsageError: another number of columns, or a value that is no finite number.
    """
    if features.ndim != 2 or features.shape[1] != len(manifest.features):
        raise UsageError(f"{manifest.name} takes {len(manifest.features)} features a row")
    if not np.isfinite(features).all():
        raise UsageError("a feature is missing or is no finite number")
    columns = [np.searchsorted(one.edges, features[:, at]) for at, one in enumerate(manifest.features)]
    return np.stack(columns, axis=1).astype(np.int64)


def thermometer(in_bins: Counts, manifest: Manifest) -> Words:
    """The input's bits: bit e of a feature is 1 where its bin is above e.

    Args:
        in_bins: int64[rows, F].
        manifest: the model's.

    Returns:
        uint64[rows, F·E], feature by feature.
    """
    bits = in_bins[:, :, None] > np.arange(manifest.edges_per_feature)
    return bits.reshape(len(in_bins), manifest.inputs).astype(np.uint64)


def slots(bits: Words, manifest: Manifest) -> Words:
    """The slots of one row of data in mode rows: input slot d lies at d·c + i for each copy i, in both rows.

    Args:
        bits: uint64[F·E].
        manifest: the model's.

    Returns:
        uint64[N].
    """
    padded = np.zeros(manifest.input_slots, np.uint64)
    padded[: manifest.inputs] = bits
    return np.tile(np.repeat(padded, manifest.copies), 2)


def columns(bits: Words, manifest: Manifest) -> Words:
    """The slots of many rows of data in mode columns: row r of the data is in slot r of every ciphertext.

    Args:
        bits: uint64[rows, F·E].
        manifest: the model's.

    Returns:
        uint64[F·E, N], one line for each ciphertext.

    Raises:
        UsageError: there are more rows than slots.
    """
    degree = manifest.parameter_set.degree
    if len(bits) > degree:
        raise UsageError(f"{len(bits)} rows do not fit {degree} slots")
    spread = np.zeros((manifest.inputs, degree), np.uint64)
    spread[:, : len(bits)] = bits.T
    return spread


def read(decoded: Sequence[Words], manifest: Manifest) -> DecryptedScores:
    """What the decrypted slots of one row's reply say, in mode rows.

    A leaf's two values are spread over D/K slots as shares, one in each row of slots: the client adds them.
    A place whose first sum is zero is a leaf that was reached, and its second sum counts.

    Args:
        decoded: uint64[N] for each ciphertext, below t.
        manifest: the model's.

    Returns:
        Zeros and sums, int64[outputs] each.
    """
    t = manifest.parameter_set.plain
    if manifest.kind == "linear":
        sums = np.array([int(one.sum()) % t for one in decoded], np.int64)
        return DecryptedScores(np.zeros(manifest.outputs, np.int64), _centred(sums, t))
    first, second = [], []
    for diagonals, one in zip(manifest.plan, decoded, strict=True):
        shares = manifest.input_slots // diagonals
        whole = one.reshape(2, shares, manifest.copies * diagonals).sum(axis=1) % np.uint64(t)
        first.append(whole[0])
        second.append(whole[1])
    reached = np.concatenate(first) == 0
    value = np.concatenate(second).astype(np.int64)
    zeros, sums = np.zeros((2, manifest.outputs), np.int64)
    for output, block in enumerate(manifest.blocks):
        for low, high in block:
            zeros[output] += np.count_nonzero(reached[low:high])
            sums[output] += value[low:high][reached[low:high]].sum()
    return DecryptedScores(zeros, _centred(sums, t))


def read_columns(decoded: Sequence[Words], manifest: Manifest, rows: int) -> DecryptedScores:
    """What the decrypted slots of a reply say, in mode columns: row r of the data is in slot r.

    Args:
        decoded: uint64[N] for each ciphertext: for each tree, those of output 0 first, its leaves' first
            values, then its leaves' second values. For linear models one for each output.
        manifest: the model's.
        rows: of data.

    Returns:
        Zeros and sums, int64[rows, outputs] each.
    """
    t = manifest.parameter_set.plain
    taken = np.stack(decoded)[:, :rows].astype(np.int64)
    if manifest.kind == "linear":
        return DecryptedScores(np.zeros((rows, manifest.outputs), np.int64), _centred(taken.T, t))
    by_tree = taken.reshape(-1, 2, manifest.columns, rows)
    reached = by_tree[:, 0] == 0
    tree_zeros = reached.sum(axis=1)
    tree_sums = np.where(reached, by_tree[:, 1], 0).sum(axis=1)
    starts = np.cumsum([0, *manifest.trees[:-1]])
    zeros, sums = (np.add.reduceat(one, starts, axis=0).T for one in (tree_zeros, tree_sums))
    return DecryptedScores(zeros, _centred(sums, t))


def check(reading: DecryptedScores, manifest: Manifest) -> None:
    """Checks that every tree reached one leaf, as with an honest query and an undamaged reply.

    Raises:
        MalformedObject: it is not so: the reply opens to nothing under this secret key.
    """
    if manifest.kind == "trees" and (reading.zeros != np.array(manifest.trees)).any():
        raise MalformedObject(
            "reply: it does not open to one leaf a tree: it was damaged, or is under another secret key"
        )


def answer(sums: Counts, manifest: Manifest) -> Answer:
    """What the sums of one row, int64[outputs], mean."""
    margins = sums / manifest.scale + np.array(manifest.offset)
    shown = tuple(float(one) for one in margins)
    if manifest.task == "regression":
        return Answer(None, (), shown[0], shown)
    if manifest.link == "logistic":
        # expit without overflow: exp of a number that is not positive
        small = np.exp(-np.abs(margins[0]))
        likely = 1 / (1 + small)
        positive = likely if margins[0] >= 0 else small * likely
        return Answer(
            manifest.classes[int(margins[0] > 0)], (float(1 - positive), float(positive)), None, shown
        )
    label = manifest.classes[int(margins.argmax())]
    if manifest.link == "identity":
        return Answer(label, (), None, shown)
    weights = np.exp(margins - margins.max())
    return Answer(label, tuple(float(one) for one in weights / weights.sum()), None, shown)


def _centred(sums: Counts, t: int) -> Counts:
    """Residues modulo t as numbers between -t/2 and t/2."""
    residues = sums % t
    return np.where(residues > t // 2, residues - t, residues)
