"""What the portal runs in a worker process: a query's rows in, packed ciphertexts out.

A process keeps the models it was asked for, the keys of its latest users and, prepared while it is idle, the
plaintexts of the next query: of one query only, since a large model's take 210 MB. Nothing here is shared
between processes, and prepared plaintexts answer one query: two answers under the same weights would show
them.

`evaluate` is called by `pericard_edge.confined`, which bounds its memory and time; what it raises fails one
job.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

from pericard_cloud.prediction import columns, linear
from pericard_cloud.prediction.engine import LoadedKeys, engine
from pericard_cloud.prediction.evaluate import PreparedQuery
from pericard_cloud.prediction.evaluate import evaluate as evaluate_row
from pericard_cloud.prediction.model import LinearModel
from pericard_cloud.prediction.published import MANIFEST, Published
from pericard_cloud.prediction.randomness import Words
from pericard_protocol.errors import UsageError
from pericard_protocol.prediction.manifest import COLUMNS
from pericard_protocol.prediction.objects import (
    Query,
    check_keys_serve,
    fingerprint,
    pack_reply_ciphertext,
    parse_keys,
    parse_query,
)

V = TypeVar("V")

_MODELS = 4  # arrays of some 100 KB each
_KEYS = 8  # 1 MB each, as SEAL has them


def evaluate(model_folder: str, keys: bytes, query: bytes, first: int, rows: int) -> tuple[bytes, ...]:
    """The packed ciphertexts of rows [first, first + rows) of the query, row by row.

    In mode columns a query is answered whole: `first` is 0 and `rows` is all of its rows.

    Raises:
        PeerError: keys or query are not what they claim, or not for this model.
        UsageError: the model's folder holds no model, or the query has no such rows.
    """
    published = _published(model_folder)
    loaded = _loaded(keys, published)
    asked = parse_query(query, published.manifest, fingerprint(keys))
    if not (first >= 0 and rows >= 1 and first + rows <= asked.rows):
        raise UsageError(f"the query has {asked.rows} rows, not rows {first} to {first + rows - 1}")
    if asked.mode == COLUMNS:
        if rows != asked.rows:
            raise UsageError("a query in mode columns is answered whole")
        ciphertexts = _columns(published, loaded, asked)
    else:
        ciphertexts = []
        for row in range(first, first + rows):
            ciphertexts += _row(published, loaded, asked, row)
        _ahead.start(published)
    parameters = published.manifest.parameter_set
    return tuple(pack_reply_ciphertext(parameters, words) for words in ciphertexts)


def _row(published: Published, keys: LoadedKeys, query: Query, row: int) -> list[Words]:
    # The row's words are checked first: what a stranger sent must not use up prepared plaintexts for nothing.
    ciphertext = published.engine.ciphertext(query.ciphertext(row))
    return evaluate_row(ciphertext, _ahead.take(published), published.layout, published.engine, keys)


def _columns(published: Published, keys: LoadedKeys, query: Query) -> list[Words]:
    manifest, model, engine = published.manifest, published.model, published.engine
    query.check()

    def load(slot: int) -> object:
        return engine.ciphertext(query.ciphertext(slot))

    if isinstance(model, LinearModel):
        return linear.evaluate_columns(load, model, engine, keys)
    return list(columns.evaluate(load, model, manifest.columns, manifest.inputs, engine, keys))


class _Recent(Generic[V]):
    """The values used last, by key."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        while len(self._values) > self._size:
            self._values.popitem(last=False)
        return self._values[key]


class _Ahead:
    """The next query's plaintexts, made by a thread while the worker waits for its next call."""

    def __init__(self) -> None:
        self._model: Published | None = None
        self._thread: threading.Thread | None = None
        self._prepared: list[PreparedQuery] = []

    def take(self, published: Published) -> PreparedQuery:
        """What was prepared for this model, or new plaintexts. Nothing is given twice."""
        if self._model is published:
            self._wait()
            if self._prepared:
                return self._prepared.pop()
        return published.prepare()

    def start(self, published: Published) -> None:
        """Prepares for the next query to this model, in place of what was prepared for another."""
        self._wait()
        if self._model is not published:
            self._prepared.clear()
        self._model = published
        if not self._prepared:
            self._thread = threading.Thread(target=self._prepare, args=(published,), daemon=True)
            self._thread.start()

    def _prepare(self, published: Published) -> None:
        self._prepared.append(published.prepare())

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None


_models: _Recent[Published] = _Recent(_MODELS)
_keys: _Recent[LoadedKeys] = _Recent(_KEYS)
_ahead = _Ahead()


def _published(model_folder: str) -> Published:
    """The model, read again when its manifest was written anew."""
    folder = Path(model_folder)
    try:
        written = (folder / MANIFEST).stat().st_mtime_ns
    except OSError as error:
        raise UsageError(f"no model in {folder.name}: {error.strerror}") from None
    return _models.get((model_folder, written), lambda: Published.read(folder))


def _loaded(keys: bytes, published: Published) -> LoadedKeys:
    """The keys as SEAL has them, checked to serve the model."""
    loaded = _keys.get(fingerprint(keys), lambda: _load(keys))
    check_keys_serve(loaded.keys, published.manifest)
    return loaded


def _load(keys: bytes) -> LoadedKeys:
    parsed = parse_keys(keys)
    return LoadedKeys(engine(parsed.parameters), parsed)
