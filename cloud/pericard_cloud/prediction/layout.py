"""Where things lie in the slots, the same for every query: copies of the input, places of leaves, diagonals.

A row of a ciphertext has N/2 slots; input slot s lies c = N / 2D times in it, copy k at s·c + k. A reply has
one ciphertext for each K of the plan, and in it c·K places for leaves. A leaf of place (q, k) in a ciphertext
of K diagonals is the sum of D/K slots of copy k: those of the input slots q, q + K, q + 2K, … (the client
adds them). Diagonal j gives each of them what lies j input slots further. So every leaf reaches every input
slot, by exactly one diagonal, and K diagonals carry c·K leaves.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pericard_cloud.prediction.model import TreeModel
from pericard_cloud.prediction.randomness import Indices
from pericard_protocol.errors import UsageError
from pericard_protocol.prediction.manifest import Manifest

# Above it, a ciphertext that is at most three quarters full is made two: each costs 37 KB of reply and the
# time of about a dozen diagonals.
_WORTH_SPLITTING = 256


@dataclass(frozen=True)
class Layout:
    """The layout of one model.

    Attributes:
        degree: slots of a ciphertext, in two rows.
        modulus: of the plaintext.
        inputs: D, slots of the client's input.
        plan: diagonals of each ciphertext of a reply, powers of two up to D.
        giant: diagonals between two rotations of the sums (baby-step giant-step).
        blocks: for each class the half-open ranges of its places.
    """

    degree: int
    modulus: int
    inputs: int
    plan: tuple[int, ...]
    giant: int
    blocks: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, manifest: Manifest) -> "Layout":
        """The layout that a manifest tells its clients."""
        parameters = manifest.parameter_set
        return cls(
            degree=parameters.degree,
            modulus=parameters.plain,
            inputs=manifest.input_slots,
            # A linear model's reply has one product for each class, as a plan of single diagonals has.
            plan=manifest.plan or (1,) * manifest.outputs,
            giant=manifest.giant,
            blocks=manifest.blocks,
        )

    @property
    def row(self) -> int:
        """Slots of a row."""
        return self.degree // 2

    @property
    def copies(self) -> int:
        """How often the input lies in a row."""
        return self.row // self.inputs

    @cached_property
    def starts(self) -> Indices:
        """int64[ciphertexts + 1]: the first place of each ciphertext; last, the number of places."""
        return self.copies * np.concatenate([[0], np.cumsum(self.plan)])

    @property
    def places(self) -> int:
        """Leaves that a reply has room for."""
        return self.copies * sum(self.plan)


def room(model: TreeModel, copies: int) -> int:
    """Places that each class needs in each copy, so that every balanced partition of its trees fits.

    The leaves of the class's largest trees, as many as one copy gets. A tighter room would make some
    partitions impossible, and which ones tells of the trees' sizes.
    """
    sizes = np.bincount(model.tree)
    largest = 0
    for one in range(model.classes):
        of_class = np.sort(sizes[model.group == one])[::-1]
        largest = max(largest, int(of_class[: -(-len(of_class) // copies)].sum()))
    return largest


def plan_for(
    model: TreeModel, inputs: int, degree: int
) -> tuple[tuple[int, ...], tuple[tuple[tuple[int, int], ...], ...]]:
    """The plan and the classes' blocks for a model's manifest: the smallest that hold it.

    All classes get the same room, so that a block's size tells nothing about its class.

    Raises:
        UsageError: the input has no power of two of slots that fits, or a decision lies outside it.
    """
    if inputs & (inputs - 1) or not 1 <= inputs <= degree // 2:
        raise UsageError(f"{inputs} input slots: it must be a power of two up to {degree // 2}")
    if int(model.path.max()) >= inputs:
        raise UsageError(f"a decision lies outside the {inputs} input slots")
    copies = degree // 2 // inputs
    left = max(1, room(model, copies) * model.classes)
    plan = [inputs] * (left // inputs)
    left -= sum(plan)
    if left:
        whole = 1 << (left - 1).bit_length()
        if whole >= _WORTH_SPLITTING and 4 * left <= 3 * whole:
            plan += [whole // 2, whole // 4]
        else:
            plan.append(whole)
    width = copies * (sum(plan) // model.classes)
    return tuple(plan), tuple(((one * width, (one + 1) * width),) for one in range(model.classes))


def giant_for(plan: tuple[int, ...]) -> int:
    """The giant step of a plan: 32 for large models, else 16.

    A baby step is rotated once for a query, a giant step once for every ciphertext.
    """
    return 32 if sum(plan) >= 1024 else 16
