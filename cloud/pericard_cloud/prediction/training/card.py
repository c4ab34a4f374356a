"""A model's card: what it was made of, how good it is, and what its users can learn of it. Public.

Its JSON file is what the portal shows and its API gives; its Markdown says the same to who has the folder.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pericard_cloud.prediction.model import LinearModel, TreeModel
from pericard_cloud.prediction.published import Published
from pericard_cloud.prediction.training.ensemble import Ensemble, Line, Meaning
from pericard_cloud.prediction.training.table import Table, Values
from pericard_protocol.prediction.geometry import bins, thermometer
from pericard_protocol.prediction.manifest import ROWS, Manifest
from pericard_protocol.prediction.objects import query_bytes, reply_bytes

# Probes with malformed bits until every leaf was known, over the leaves there are: 1,500 for 160 leaves (20
# trees of depth 3) and 3,400 for 400 (50 of them). docs/prediction.md has what part of it takes.
_PROBES_PER_LEAF = 9
# Honest queries after which a copy agreed with the model in 98 % of cases.
_COPYING_ROWS = 1000
_DAYS = 30  # that a quota makes copying last
_ROWS_AT_ONCE = 128


def quantised_margins(published: Published, values: Values) -> Values:
    """float64[rows, outputs]: what an encrypted answer to these rows opens to, computed in the clear."""
    manifest, parts = published.manifest, []
    for start in range(0, len(values), _ROWS_AT_ONCE):
        rows = values[start : start + _ROWS_AT_ONCE]
        bits = thermometer(bins(rows, manifest), manifest).astype(np.uint8)
        parts.append(published.model.sums(bits))
    return np.asarray(np.concatenate(parts) / manifest.scale + np.array(manifest.offset))


def score(margins: Values, table: Table, meaning: Meaning) -> float:
    """The share of rows whose class is right; for a regression R², 1 where every value is."""
    if meaning.task == "regression":
        assert table.quantities is not None  # noqa: S101 - who trains has checked it
        wrong = ((margins[:, 0] - table.quantities) ** 2).sum()
        spread = ((table.quantities - table.quantities.mean()) ** 2).sum()
        return float(1 - wrong / spread) if spread else 0.0
    return float((labels(margins, meaning) == table.labels(meaning.classes)).mean())


def labels(margins: Values, meaning: Meaning) -> Any:
    """int64[rows]: the number of each row's class."""
    return (margins[:, 0] > 0).astype(np.int64) if meaning.task == "binary" else margins.argmax(axis=1)


def card(
    published: Published,
    reference: Ensemble | Line,
    table: Table,
    *,
    trained_rows: int,
    title: str | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The card of a model, as JSON has it.

    Args:
        published: the model.
        reference: the same model with real numbers and thresholds.
        table: rows that it is judged by.
        trained_rows: how many it was trained on; 0 where that is not known.
        title: what people call it.
        notes: what else a user should know.
    """
    manifest, meaning = published.manifest, reference.meaning
    exact, whole = reference.margins(table.values), quantised_margins(published, table.values)
    return {
        "title": title or manifest.name,
        "summary": _summary(manifest, table),
        "data": {
            "source": table.source,
            "target": table.target_name,
            "features": len(manifest.features),
            "rows trained on": trained_rows or None,
            "rows judged by": len(table.values),
        },
        "accuracy": _accuracy(exact, whole, table, meaning),
        "size": _size(published),
        "encryption": {
            "parameter set": manifest.parameters,
            "ring degree": manifest.parameter_set.degree,
            "plaintext modulus": manifest.parameter_set.plain,
            "keys (bytes)": manifest.parameter_set.keys_bytes(len(manifest.steps)),
            "query (bytes a row)": query_bytes(manifest, ROWS, 1),
            "reply (bytes a row)": reply_bytes(manifest, ROWS, 1),
        },
        "what a user can learn": _learnt(published),
        "quota": {"rows a day recommended": recommended_rows(published), "why": _quota(published)},
        "notes": list(notes) or None,
    }


def recommended_rows(published: Published) -> int:
    """Rows a day and user that make copying the model last about a month."""
    return max(1, min(_COPYING_ROWS, probes(published)) // _DAYS)


def probes(published: Published) -> int:
    """About how many queries, malformed where that helps, tell all that a model's answers can tell."""
    model = published.model
    if isinstance(model, LinearModel):
        return published.manifest.inputs + 1
    return _PROBES_PER_LEAF * len(model.tree)


def markdown(content: dict[str, Any]) -> str:
    """A card as Markdown."""
    lines = [f"# {_escaped(content['title'])}", "", _escaped(content["summary"])]
    for key, value in content.items():
        if key in ("title", "summary") or value is None:
            continue
        lines += ["", f"## {key.capitalize()}", "", *_lines(value)]
    return "\n".join(lines) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            if one is not None:
                yield f"- {_escaped(key)}: {_escaped(f'{one:.4f}' if isinstance(one, float) else one)}"
    else:
        for one in value:
            yield f"- {_escaped(one)}"


def _escaped(text: Any) -> str:
    """Names come from a file: none may become markup or a link."""
    return "".join(f"\\{one}" if one in r"\`*_[]<>|#" else one for one in str(text))


def _summary(manifest: Manifest, table: Table) -> str:
    what = {
        "binary": f"Tells {' from '.join(manifest.classes)}",
        "multiclass": f"Tells {len(manifest.classes)} classes apart",
        "regression": f"Estimates {table.target_name or 'a number'}",
    }[manifest.task]
    how = f"{sum(manifest.trees)} trees" if manifest.kind == "trees" else "an additive model"
    return f"{what} by {len(manifest.features)} features with {how}; computed on ciphertexts."


def _accuracy(exact: Values, whole: Values, table: Table, meaning: Meaning) -> dict[str, Any]:
    found: dict[str, Any] = {
        "measure": "R²" if meaning.task == "regression" else "share of rows that are right"
    }
    if table.target is not None:
        found["float"] = score(exact, table, meaning)
        found["quantised"] = score(whole, table, meaning)
        found["encrypted"] = (
            "the same as quantised: an encrypted answer opens to the quantised model's, bit for bit"
        )
    if meaning.task == "regression":
        found["largest difference of quantised and float"] = float(np.abs(exact - whole).max())
    else:
        found["quantised agrees with float"] = float(
            (labels(exact, meaning) == labels(whole, meaning)).mean()
        )
    return found


def _size(published: Published) -> dict[str, Any]:
    manifest, model = published.manifest, published.model
    size: dict[str, Any] = {
        "edges": sum(len(one.edges) for one in manifest.features),
        "most edges of a feature": manifest.edges_per_feature,
        "input slots": manifest.input_slots,
        "outputs": manifest.outputs,
    }
    if isinstance(model, TreeModel):
        size |= {
            "trees": len(model.group),
            "depth": int((model.path >= 0).sum(axis=1).max()),
            "leaves": len(model.tree),
            "places for leaves": manifest.places,
        }
    size["ciphertexts of a reply"] = manifest.reply_ciphertexts(ROWS)
    return size


def _learnt(published: Published) -> list[str]:
    manifest = published.manifest
    first = "the features' names, edges, ranges and means, which are in the public manifest"
    if isinstance(published.model, LinearModel):
        return [
            first,
            "each output's sum, and nothing of a single weight from one answer",
            f"every weight, from {manifest.inputs + 1} answers: they are a system of linear equations",
        ]
    return [
        first,
        "what this card says, the number of trees and leaves too; the manifest has the number of trees, "
        f"and room for {manifest.places} leaves",
        "each output's sum over all its trees, and nothing of a single tree, from an honest query",
        "from a query with malformed bits: in how many trees some leaf is consistent with them; "
        f"about {probes(published)} such queries map out the model",
        *_batches(manifest),
        f"from about {_COPYING_ROWS} honest answers: a copy that agrees in most cases, "
        "as with any model that answers",
    ]


def _batches(manifest: Manifest) -> list[str]:
    if not manifest.columns:
        return ["many rows cannot be asked at once"]
    return ["the same from a batch, which tells in which trees: 90 rows gave a path of each of 20 trees"]


def _quota(published: Published) -> str:
    return (
        f"about {min(_COPYING_ROWS, probes(published))} answers make a copy; "
        f"so it takes a user {_DAYS} days or more"
    )
