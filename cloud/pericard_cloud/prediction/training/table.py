"""Training data: a CSV file in, a checked table out. A fault is told with its row and its column.

Every feature is a finite number. A target is told as it stands in the file; `Table.task` decides what it is.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pericard_cloud.prediction.training.errors import BadData

Values = NDArray[np.float64]

MAX_BYTES = 1 << 29
MAX_FEATURES = 2048  # slots of the widest input
MAX_CLASSES = 100
_MAX_NAME = 64
# A target of whole numbers is a class up to so many different ones, and a quantity above.
_FEW = 20


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of features and what is known of each.

    Attributes:
        names: of the features.
        values: float64[rows, F], finite.
        target: str[rows], as in the file; None where it has no such column.
        target_name: of that column.
        source: where the data is from, for the model's card.
    """

    names: tuple[str, ...]
    values: Values
    target: tuple[str, ...] | None
    target_name: str
    source: str

    @cached_property
    def quantities(self) -> Values | None:
        """float64[rows]: the target as finite numbers; None where it is none."""
        try:
            numbers = np.array([float(one) for one in self.target or ()], np.float64)
        except ValueError:
            return None
        return numbers if len(numbers) and np.isfinite(numbers).all() else None

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The target's different values, numbers in their order."""
        found = set(self.target or ())
        if self.quantities is not None:
            return tuple(sorted(found, key=float))
        return tuple(sorted(found))

    @property
    def task(self) -> str:
        """What predicting the target is: "binary", "multiclass" or "regression"."""
        if self.quantities is not None:
            whole = bool((self.quantities == np.rint(self.quantities)).all())
            if len(self.classes) > _FEW or not (whole or len(self.classes) == 2):
                return "regression"
        return "binary" if len(self.classes) == 2 else "multiclass"

    def labels(self, classes: Sequence[str]) -> NDArray[np.int64]:
        """int64[rows]: each row's class by its number.

        Raises:
            BadData: a row is of another class.
        """
        number = {name: at for at, name in enumerate(classes)}
        for row, one in enumerate(self.target or ()):
            if one not in number:
                raise BadData(f"row {row + 1}, column {self.target_name!r}: {one!r} is not among the classes")
        return np.array([number[one] for one in self.target or ()], np.int64)

    def of(self, names: Sequence[str]) -> "Table":
        """The table with these features, in this order.

        Raises:
            BadData: one is missing.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise BadData(f"the table has no column {missing[0]!r}, which the model needs")
        order = [self.names.index(name) for name in names]
        return Table(tuple(names), self.values[:, order], self.target, self.target_name, self.source)


def read_csv(path: Path, target: str | None, *, need_target: bool = True) -> Table:
    """The table in a CSV file: its first line names the columns.

    Args:
        path: the file, UTF-8.
        target: the column to predict; None: the last one, where one is needed.
        need_target: whether the file must have one.

    Raises:
        BadData: the file is not such a table.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadData(f"{path.name} has over {MAX_BYTES >> 20} MB: train on a sample of its rows")
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _table(csv.reader(file, strict=True), path.name, target, need_target)
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadData(f"{path.name} is not UTF-8 text") from None
    except csv.Error as error:
        raise BadData(f"{path.name} is no CSV file: {error}") from None


def _table(lines: Iterator[list[str]], source: str, target: str | None, need_target: bool) -> Table:
    header = [name.strip() for name in next(lines, [])]
    _check_header(header)
    if target is None and need_target:
        target = header[-1]
    if target is not None and target not in header:
        raise BadData(f"there is no column {target!r}; there are {', '.join(header[:20])}")
    where = header.index(target) if target is not None else None
    features = [at for at in range(len(header)) if at != where]
    if not features:
        raise BadData("there is no column beside the target: a model needs features")
    if len(features) > MAX_FEATURES:
        raise BadData(f"{len(features)} features: an encrypted input has at most {MAX_FEATURES}")
    values: list[list[float]] = []
    targets: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line:  # an empty line, as some programs write last
            continue
        if len(line) != len(header):
            raise BadData(f"row {number} has {len(line)} values, the first line names {len(header)} columns")
        values.append([_number(line[at], number, header[at]) for at in features])
        if where is not None:
            one = line[where].strip()
            if not one or len(one) > _MAX_NAME or not one.isprintable():
                raise BadData(
                    f"row {number}, column {header[where]!r}: a target is 1 to {_MAX_NAME} characters"
                )
            targets.append(one)
    if not values:
        raise BadData("there is no row below the line of names")
    names = tuple(header[at] for at in features)
    return Table(
        names, np.array(values), tuple(targets) if target is not None else None, target or "", source
    )


def _check_header(header: Sequence[str]) -> None:
    for at, name in enumerate(header, start=1):
        if not name or len(name) > _MAX_NAME or not name.isprintable():
            raise BadData(f"column {at}: its name must have 1 to {_MAX_NAME} printable characters")
        if name in header[: at - 1]:
            raise BadData(f"column {at}: the name {name!r} comes twice")
    if header and all(_is_number(name) for name in header):
        raise BadData("the first line has only numbers: it must name the columns")
    if not header:
        raise BadData("the file is empty")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str, row: int, column: str) -> float:
    shown = text.strip()[:40]
    if not shown:
        raise BadData(f"row {row}, column {column!r}: the value is missing; fill it or drop the row")
    try:
        value = float(shown)
    except ValueError:
        raise BadData(f"row {row}, column {column!r}: {shown!r} is no number") from None
    if not math.isfinite(value):
        raise BadData(f"row {row}, column {column!r}: {shown!r} is no finite number")
    return value
