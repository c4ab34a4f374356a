"""Tables of features, CSV or JSON, checked against a model's manifest: every error names row and column."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pericard_client.errors import BadFeatures
from pericard_protocol.prediction.manifest import Feature, Manifest

MAX_BYTES = 16 << 20


def parse(
    content: bytes, manifest: Manifest, *, ignore: Sequence[str] = (), any_value: bool = False
) -> NDArray[np.float64]:
    """The rows of a table, float64[rows, F], in the manifest's order.

    Args:
        content: CSV with a line of names, a JSON object, or a JSON list of objects, in UTF-8.
        manifest: the model's.
        ignore: columns that may be there and are left out, such as the true answer.
        any_value: take values far outside of what the model was trained on.

    Raises:
        BadFeatures: it is no such table, or a value is missing, no number, or out of range.
    """
    if len(content) > MAX_BYTES:
        raise BadFeatures(f"the table has over {MAX_BYTES} bytes: split it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadFeatures("the table is no UTF-8 text") from None
    named = _from_json(text) if text.lstrip()[:1] in ("{", "[") else _from_csv(text)
    rows = [_row(at, where, row, manifest, ignore, any_value) for at, (where, row) in enumerate(named, 1)]
    if not rows:
        raise BadFeatures("the table has no row of data")
    return np.array(rows, np.float64)


def _from_csv(text: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadFeatures(f"column {_shown(twice)} comes twice in the first line")
        for values in reader:
            if not values:
                continue  # an empty line
            where = f" (line {reader.line_num})"
            if len(values) != len(names):
                raise BadFeatures(f"line {reader.line_num} has {len(values)} values for {len(names)} columns")
            yield where, dict(zip(names, values, strict=True))
    except csv.Error as error:
        raise BadFeatures(f"line {reader.line_num} is no CSV: {error}") from None


def _from_json(text: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f": line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadFeatures(f"the table is no JSON{where}") from None
    listed = read if isinstance(read, list) else [read]
    for at, row in enumerate(listed, 1):
        if not isinstance(row, dict):
            raise BadFeatures(f"row {at} is no JSON object of names and numbers")
        yield "", row


def _row(
    at: int, where: str, row: Mapping[str, Any], manifest: Manifest, ignore: Sequence[str], any_value: bool
) -> list[float]:
    known = [one.name for one in manifest.features]
    missing = [name for name in known if name not in row]
    if missing:
        raise BadFeatures(f"row {at}{where}: column {_shown(missing[0])} is missing{_others(missing)}")
    unknown = [name for name in row if name not in known and name not in ignore]
    if unknown:
        raise BadFeatures(
            f"row {at}{where}: {manifest.name} has no feature {_shown(unknown[0])}{_others(unknown)}: "
            "leave it out with --ignore"
        )
    return [
        _value(f"row {at}{where}, column {_shown(one.name)}", row[one.name], one, any_value)
        for one in manifest.features
    ]


def _value(place: str, value: Any, feature: Feature, any_value: bool) -> float:
    if isinstance(value, str):
        if not value.strip():
            raise BadFeatures(f"{place}: the value is missing")
        try:
            value = float(value)
        except ValueError:
            raise BadFeatures(f"{place}: {_shown(value)} is no number") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadFeatures(f"{place}: the value is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadFeatures(f"{place}: the value is no finite number")
    # As far again as the training data reached, on either side: what is beyond is most often in another unit.
    reach = max(feature.maximum - feature.minimum, abs(feature.maximum), 1e-9)
    if not any_value and not feature.minimum - reach <= number <= feature.maximum + reach:
        unit = f" {feature.unit}" if feature.unit else ""
        raise BadFeatures(
            f"{place}: {number:g} is far from what the model knows, "
            f"{feature.minimum:g} to {feature.maximum:g}{unit}: "
            "is it in another unit? --any-value takes it all the same"
        )
    return number


def _shown(name: str) -> str:
    return repr(name[:64])


def _others(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
