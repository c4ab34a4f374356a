"""A model's manifest: what a client needs to encrypt for it and to read its reply. Public, without weights.

The digest is SHA-256 of the manifest as canonical JSON (RFC 8785, which a browser writes alike). A query
names it, so that the client's and the cloud's idea of a model cannot differ unnoticed.
"""

import hashlib
import json
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import pydantic
import rfc8785

from pericard_protocol.prediction import parameters as sets
from pericard_protocol.prediction.errors import BadManifest
from pericard_protocol.prediction.parameters import BfvParameters
from pericard_protocol.schema import Section

ROWS, COLUMNS = 0, 1  # modes: a ciphertext for each row of data, or one for each feature's edge
MAX_BYTES = 1 << 20

_Finite = Annotated[float, pydantic.Field(allow_inf_nan=False)]
_Text = Annotated[str, pydantic.Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]


def _power_of_two(number: int) -> int:
    if number & (number - 1):
        raise ValueError(f"{number} is no power of two")
    return number


_Power = Annotated[int, pydantic.AfterValidator(_power_of_two)]


class Feature(Section):
    """One input of a model.

    Attributes:
        name: the column's name in a file.
        unit: for a person; may be empty.
        edges: rising; bit e of the feature is 1 where the value is above edge e.
        minimum: of the training data: a guide for a person, not a bound.
        maximum: of the training data.
        mean: of the training data.
    """

    name: _Text
    unit: str = pydantic.Field(max_length=32)
    edges: tuple[_Finite, ...] = pydantic.Field(min_length=1, max_length=63)
    minimum: _Finite
    maximum: _Finite
    mean: _Finite

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"the edges of {self.name} do not rise")
        if not self.minimum <= self.mean <= self.maximum:
            raise ValueError(f"{self.name}: not minimum <= mean <= maximum")
        return self


class Manifest(Section):
    """What is public about a model.

    An *output* is a sum that the reply holds: one for a binary model or a regression, else one a class.

    Attributes:
        name: in addresses and commands.
        parameters: name of the parameter set.
        kind: "trees", or "linear": a weight for each bit.
        task: what the outputs mean.
        features: in the order of the input's slots.
        edges_per_feature: E, slots that each feature takes, whether it has so many edges or not.
        input_slots: D; F·E ≤ D, and the input lies c = (N/2)/D times in each row of slots.
        plan: for each ciphertext of a reply in mode rows, how many diagonals K it has; linear models: none.
        giant: the baby steps g of a rotation: the Galois steps are c and c·g.
        blocks: for each output, the half-open ranges of places whose zeros count for it; linear models: none.
        trees: for each output, how many zeros an honest reply has; linear models: none.
        columns: leaves that each tree has in mode columns (linear models: 1); 0: the model has no such mode.
        classes: names; empty for a regression.
        scale: a sum divided by it, plus the offset, is the margin.
        offset: for each output.
        link: from margins to the answer.
    """

    format: Literal["pericard-model/1"] = "pericard-model/1"
    name: str = pydantic.Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    parameters: str = pydantic.Field(max_length=16)
    kind: Literal["trees", "linear"]
    task: Literal["binary", "multiclass", "regression"]
    features: tuple[Feature, ...] = pydantic.Field(min_length=1, max_length=2048)
    edges_per_feature: int = pydantic.Field(ge=1, le=63)
    input_slots: _Power = pydantic.Field(ge=256, le=2048)
    plan: tuple[Annotated[_Power, pydantic.Field(ge=1, le=2048)], ...] = pydantic.Field(max_length=64)
    giant: Literal[16, 32] = 16
    blocks: tuple[tuple[tuple[int, int], ...], ...] = pydantic.Field(max_length=100)
    trees: tuple[Annotated[int, pydantic.Field(ge=1, le=1000)], ...] = pydantic.Field(max_length=100)
    columns: _Power = pydantic.Field(ge=0, le=64)
    classes: tuple[_Text, ...] = pydantic.Field(max_length=100)
    scale: _Finite = pydantic.Field(gt=0)
    offset: tuple[_Finite, ...] = pydantic.Field(min_length=1, max_length=100)
    link: Literal["logistic", "softmax", "identity"]

    @pydantic.field_validator("parameters")
    @classmethod
    def _allowed(cls, name: str) -> str:
        if name not in sets.NAMES:
            raise ValueError(f"no such parameter set; there are {', '.join(sets.NAMES)}")
        return name

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        _require(self.inputs <= self.input_slots, "features x edges do not fit the input's slots")
        _require(self.input_slots <= self.parameter_set.row, "the input does not fit a row of slots")
        _require(
            len({one.name for one in self.features}) == len(self.features), "a feature's name comes twice"
        )
        _require(
            all(len(one.edges) <= self.edges_per_feature for one in self.features),
            "a feature has too many edges",
        )
        _require(
            (self.task, self.link) in _LINKS and len(self.classes) in _CLASSES[self.task],
            "task, link and number of classes do not belong together",
        )
        _require(len(set(self.classes)) == len(self.classes), "a class's name comes twice")
        _require(len(self.offset) == self.outputs, "there is not one offset for each output")
        if self.kind == "linear":
            _require(
                not (self.plan or self.blocks or self.trees),
                "a linear model has no plan, no blocks and no trees",
            )
            _require(self.columns <= 1, "a linear model has one ciphertext an output in mode columns")
        else:
            _require(len(self.blocks) == len(self.trees) == self.outputs, "not one block for each output")
            self._check_places()
        return self

    def _check_places(self) -> None:
        _require(len(self.plan) >= 1, "the plan is empty")
        _require(max(self.plan) <= self.input_slots, "the plan has more diagonals than input slots")
        ranges = sorted(one for block in self.blocks for one in block)
        _require(
            all(0 <= low < high <= self.places for low, high in ranges), "a block lies outside the places"
        )
        _require(all(one[1] <= two[0] for one, two in pairwise(ranges)), "blocks overlap")
        room = (sum(high - low for low, high in block) for block in self.blocks)
        _require(all(map(int.__ge__, room, self.trees)), "a block has less room than trees")

    @property
    def parameter_set(self) -> BfvParameters:
        """The parameters themselves."""
        return sets.named(self.parameters)

    @property
    def inputs(self) -> int:
        """Slots that the features take: F·E."""
        return len(self.features) * self.edges_per_feature

    @property
    def outputs(self) -> int:
        """Sums that a reply holds."""
        return len(self.classes) if self.task == "multiclass" else 1

    @property
    def copies(self) -> int:
        """How often the input lies in each row of slots: c."""
        return self.parameter_set.row // self.input_slots

    @property
    def steps(self) -> tuple[int, ...]:
        """The Galois steps that the model rotates by: c and c·g; none for linear models."""
        return () if self.kind == "linear" else (self.copies, self.copies * self.giant)

    @property
    def places(self) -> int:
        """Where leaves can be in a reply: K·c for each of its ciphertexts."""
        return self.copies * sum(self.plan)

    def reply_ciphertexts(self, mode: int) -> int:
        """Ciphertexts of a reply: those of one row in mode rows, all of them in mode columns."""
        if mode == ROWS:
            return self.outputs if self.kind == "linear" else len(self.plan)
        return self.outputs if self.kind == "linear" else 2 * sum(self.trees) * self.columns

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits: the name of this version of the model."""
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()

    def to_json(self) -> str:
        """The manifest as JSON, with its digest."""
        return json.dumps({**self.model_dump(mode="json"), "digest": self.digest}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The manifest that a JSON text holds.

        Raises:
            BadManifest: it is malformed, contradicts itself, or its digest is another's.
        """
        if len(text) > MAX_BYTES:
            raise BadManifest(f"a model's manifest has at most {MAX_BYTES} bytes")
        try:
            read: Any = json.loads(text)
        except (ValueError, RecursionError):
            raise BadManifest("a model's manifest is no JSON") from None
        if not isinstance(read, dict) or "digest" not in read:
            raise BadManifest("a model's manifest is no JSON object with a digest")
        claimed = read.pop("digest")
        try:
            manifest = cls.model_validate_json(json.dumps(read))
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "manifest"
            raise BadManifest(f"a model's manifest is malformed: {where}: {first['msg']}") from None
        if claimed != manifest.digest:
            raise BadManifest("a model's manifest does not have the digest that it names: it was changed")
        return manifest


_LINKS = {
    ("binary", "logistic"),
    ("multiclass", "softmax"),
    ("multiclass", "identity"),  # of a model that only ranks its classes
    ("regression", "identity"),
}
_CLASSES = {"binary": range(2, 3), "multiclass": range(3, 101), "regression": range(1)}


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
