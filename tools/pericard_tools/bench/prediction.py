"""`pericard bench prediction`: encrypted prediction from features to answers, beside Concrete ML.

Models are trained on scikit-learn's breast-cancer data as `pericard cloud train` does. Every row that is
asked was held out, is encrypted by the client kit's own functions, and what it opens to must equal the model
in the clear. Times are of one core and one row: `server_ms` from the query's bytes to the reply's with
plaintexts that were prepared before, `sustained_ms` with their preparation, `client_ms` encrypting and
opening. Those that end in `cpu_ms` leave out what the process waited for others.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import numpy as np

from pericard_client import seal
from pericard_cloud.prediction import evaluate, layout, worker
from pericard_cloud.prediction.engine import LoadedKeys
from pericard_cloud.prediction.model import TreeModel
from pericard_cloud.prediction.published import Published
from pericard_cloud.prediction.training import datasets, store
from pericard_cloud.prediction.training.card import quantised_margins, score
from pericard_cloud.prediction.training.fit import Trained, Wanted, train
from pericard_edge.confined import ConfinedExecutor, Limits
from pericard_protocol.prediction import geometry, objects
from pericard_protocol.prediction.manifest import COLUMNS, ROWS
from pericard_tools.bench.concrete import concrete_ml
from pericard_tools.bench.prediction_cluster import cluster
from pericard_tools.bench.shape import BenchFailed, Measured, benchmark

T = TypeVar("T")

DATA = "breast-cancer"
# Trees, depth, and the rows that a quick run asks.
SIZES = {"20x3": (20, 3, 8), "50x3": (50, 3, 5), "100x6": (100, 6, 2), "200x6": (200, 6, 2)}
FULL = ("100x6",)  # measured with every leaf that its depth allows, too
BATCH = "20x3"
BATCH_ROWS = 1000
_LIMITS = Limits(memory_bytes=4 << 30, seconds=600.0)


class Took(NamedTuple):
    """Seconds on the clock, and of the processor."""

    wall: float
    cpu: float

    def and_then(self, other: "Took") -> "Took":
        """Both, one after the other."""
        return Took(self.wall + other.wall, self.cpu + other.cpu)


@dataclass(frozen=True, eq=False)
class KeyPair:
    """Keys for a model."""

    secret: seal.SecretKey
    keys: bytes

    @classmethod
    def of(cls, published: Published) -> "KeyPair":
        """A new pair."""
        manifest = published.manifest
        return cls(*seal.make_keys(manifest.parameter_set, manifest.steps))


@benchmark("prediction", "pericard-cloud", "seal-python", "xgboost-cpu", "numpy")
@click.option(
    "--peer", type=click.Choice(["concrete-ml"]), help="Measure it, too, in an environment of its own."
)
@click.option("--cluster", "on_cluster", is_flag=True, help="A batch by dask.distributed's workers, too.")
def prediction(quick: bool, peer: str | None, on_cluster: bool) -> Measured:
    """Measure encrypted prediction: server, client, bytes, accuracy, batches; beside Concrete ML."""
    trained = {
        name: train(datasets.table(DATA), Wanted(DATA, trees=trees, depth=depth))
        for name, (trees, depth, _) in SIZES.items()
    }
    theirs, why, versions = (
        concrete_ml({name: SIZES[name][:2] for name in SIZES}) if peer else ({}, _NO_PEER, {})
    )
    figures: dict[str, Any] = {"models": {}, "full_trees": {}}
    for name, one in trained.items():
        rows = SIZES[name][2] if quick else len(one.held_out.values)
        figures["models"][name] = _compared(_figures(one, rows, name), theirs.get(name), why)
        if name in FULL:
            # Concrete ML's time is for the trees as trained, so the ratio is no better than it is.
            full = replace(one, published=with_every_leaf(one.published, SIZES[name][1]))
            most = rows if quick else min(rows, 20)
            figures["full_trees"][name] = _compared(
                _figures(full, most, f"{name} full"), theirs.get(name), why
            )
    figures["batch_1000_ms_per_row"] = _batches(trained[BATCH], on_cluster)
    runs = min(row["rows_checked"] for row in figures["models"].values())
    return Measured(runs, figures, versions)


_NO_PEER = "not asked for: --peer concrete-ml, which needs an environment of 6 GB"


def with_every_leaf(published: Published, depth: int) -> Published:
    """The model with every path `depth` decisions long: a leaf above is parted by any slot, to no effect."""
    model = published.model
    if not isinstance(model, TreeModel):
        raise BenchFailed("only trees have leaves")
    rng = np.random.default_rng(0)
    rows: list[tuple[list[int], list[int], int, int]] = []
    for path, direction, value, tree in zip(
        model.path, model.direction, model.value, model.tree, strict=True
    ):
        length = int((path >= 0).sum())
        more = depth - length
        others = rng.permutation(np.setdiff1d(np.arange(published.manifest.inputs), path[:length]))[:more]
        for sides in np.ndindex(*(2,) * more):
            rows.append(([*path[:length], *others], [*direction[:length], *sides], int(value), int(tree)))
    paths, directions, values, trees = zip(*rows, strict=True)
    full = TreeModel(
        path=np.array(paths, np.int16),
        direction=np.array(directions, np.int8),
        value=np.array(values, np.int32),
        tree=np.array(trees, np.int32),
        group=model.group,
    )
    manifest = published.manifest
    plan, blocks = layout.plan_for(full, manifest.input_slots, manifest.parameter_set.degree)
    changed = {"plan": plan, "blocks": blocks, "giant": layout.giant_for(plan)}
    return Published(manifest.model_validate({**manifest.model_dump(), **changed}), full)


def _figures(trained: Trained, rows: int, label: str) -> dict[str, Any]:
    published, table, meaning = trained.published, trained.held_out, trained.reference.meaning
    user = KeyPair.of(published)
    loaded = LoadedKeys(published.engine, objects.parse_keys(user.keys))
    values = table.values[:rows]
    wanted = quantised_margins(published, values)
    times: dict[str, list[Took]] = {"prepare": [], "server": [], "client": []}
    opened, query, reply = [], b"", b""
    _answer(published, user, loaded, values[0])  # fills caches
    with click.progressbar(length=rows, label=f"prediction {label}", file=sys.stderr) as bar:
        for row in values:
            query, reply, margins, took = _answer(published, user, loaded, row)
            bar.update(1)
            opened.append(margins)
            for step, one in took.items():
                times[step].append(one)
    equal = sum(tuple(right) == margins for right, margins in zip(wanted, opened, strict=True))
    if equal != rows:
        raise BenchFailed(f"{label}: only {equal} of {rows} encrypted answers are the model's")
    asked = replace(table, values=values, target=(table.target or ())[:rows])
    times["sustained"] = [
        one.and_then(two) for one, two in zip(times["prepare"], times["server"], strict=True)
    ]
    return {
        "leaves": len(published.model.tree) if isinstance(published.model, TreeModel) else 0,
        "server_ms": _ms(statistics.median(one.wall for one in times["server"])),
        "server_p95_ms": _ms(float(np.quantile([one.wall for one in times["server"]], 0.95))),
        "sustained_ms": _ms(statistics.median(one.wall for one in times["sustained"])),
        "client_ms": _ms(statistics.median(one.wall for one in times["client"])),
        "server_cpu_ms": _ms(statistics.median(one.cpu for one in times["server"])),
        "sustained_cpu_ms": _ms(statistics.median(one.cpu for one in times["sustained"])),
        "upload_bytes": len(query),
        "reply_bytes": len(reply),
        "key_bytes": len(user.keys),
        "accuracy": {
            "encrypted": round(score(np.array(opened), asked, meaning), 4),
            "quantised": round(score(wanted, asked, meaning), 4),
            "float": round(score(trained.reference.margins(values), asked, meaning), 4),
        },
        "rows_checked": rows,
        "rows_equal": equal,
    }


def _answer(
    published: Published, user: KeyPair, keys: LoadedKeys, row: Any
) -> tuple[bytes, bytes, tuple[float, ...], dict[str, "Took"]]:
    """One row there and back: query, reply, margins, and what each step took."""
    manifest = published.manifest
    encrypting, query = _timed(
        lambda: seal.encrypt(user.secret, manifest, geometry.bins(row[None, :], manifest), ROWS)
    )
    preparing, prepared = _timed(published.prepare)

    def serve() -> bytes:
        asked = objects.parse_query(query, manifest, user.secret.fingerprint)
        ciphertext = published.engine.ciphertext(asked.ciphertext(0))
        words = evaluate.evaluate(ciphertext, prepared, published.layout, published.engine, keys)
        packed = [objects.pack_reply_ciphertext(manifest.parameter_set, one) for one in words]
        return objects.join_reply(manifest, ROWS, 1, user.secret.fingerprint, packed)

    serving, reply = _timed(serve)
    opening, margins = _timed(
        lambda: geometry.answer(seal.open_reply(user.secret, manifest, reply).sums[0], manifest).margins
    )
    return (
        query,
        reply,
        margins,
        {"prepare": preparing, "server": serving, "client": encrypting.and_then(opening)},
    )


def _batches(trained: Trained, on_cluster: bool) -> dict[str, float | str | None]:
    """Milliseconds a row of batches of 1,000 rows in mode columns, one for each worker at the same time."""
    published, manifest = trained.published, trained.published.manifest
    user = KeyPair.of(published)
    rows = trained.held_out.values[np.arange(BATCH_ROWS) % len(trained.held_out.values)]
    query = seal.encrypt(user.secret, manifest, geometry.bins(rows, manifest), COLUMNS)
    wanted = quantised_margins(published, rows)
    found: dict[str, float | str | None] = {}
    with tempfile.TemporaryDirectory(prefix="pericard-bench-") as name:
        models = Path(name)
        folder = str(store.publish(models, published, {"title": DATA, "summary": ""}).resolve())

        def measure(executor: Executor, workers: int) -> float:
            """The second call of each worker: the first loads model and keys."""
            for _ in range(2):
                took, parts = _timed(
                    lambda: [
                        future.result()
                        for future in [
                            executor.submit(worker.evaluate, folder, user.keys, query, 0, BATCH_ROWS)
                            for _ in range(workers)
                        ]
                    ]
                )
            for packed in parts:
                reply = objects.join_reply(manifest, COLUMNS, BATCH_ROWS, user.secret.fingerprint, packed)
                sums = seal.open_reply(user.secret, manifest, reply).sums
                got = sums / manifest.scale + np.array(manifest.offset)
                if not np.array_equal(got, wanted):
                    raise BenchFailed("a batch's answers are not the model's")
            return _ms(took.wall / (workers * BATCH_ROWS))

        for workers in (1, 2):
            with ConfinedExecutor(workers, _LIMITS) as executor:
                found[str(workers)] = measure(executor, workers)
        found["cluster"] = None
        if on_cluster:
            with cluster(2) as others:
                found["cluster"] = measure(others, 2)
        else:
            found["why"] = "cluster: not asked for: --cluster"
    return found


def _compared(figures: dict[str, Any], theirs: float | None, why: str) -> dict[str, Any]:
    figures["concrete_ml_ms"] = theirs
    figures["ratio"] = round(theirs / figures["server_ms"], 1) if theirs else None
    return figures if theirs else {**figures, "why": why}


def _timed(call: Callable[[], T]) -> tuple[Took, T]:
    began, used = time.perf_counter(), time.process_time()
    result = call()
    return Took(time.perf_counter() - began, time.process_time() - used), result


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
