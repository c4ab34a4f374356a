"""Models from elsewhere answer as they did there; what is no model is refused with a sentence."""

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pericard_cloud.prediction.training import datasets
from pericard_cloud.prediction.training.boosted import read_xgboost
from pericard_cloud.prediction.training.card import labels, quantised_margins
from pericard_cloud.prediction.training.ensemble import Line
from pericard_cloud.prediction.training.errors import BadData, BadModelFile, CannotTrain
from pericard_cloud.prediction.training.importing import Imported, import_model
from pericard_cloud.prediction.training.learned import read_skops
from pericard_cloud.prediction.training.table import Table

pytestmark = pytest.mark.slow  # scikit-learn and XGBoost; see conftest.py

WINE, CANCER, DIABETES = (datasets.table(one) for one in ("wine", "breast-cancer", "diabetes"))


def known(table: Table) -> Any:
    return np.array(table.target) if table.task != "regression" else table.quantities


def imported(path: Path, content: bytes, table: Table, **options: Any) -> Imported:
    path.write_bytes(content)
    return import_model(path, table, "taken", "s1", **{"fewer": False, **options})


def xgboost_json(model: Any) -> bytes:
    return bytes(model.get_booster().save_raw("json"))


@pytest.mark.parametrize(
    ("table", "kind", "options"),
    [
        (CANCER, xgboost.XGBClassifier, {}),
        (CANCER, xgboost.XGBClassifier, {"base_score": 0.2}),
        (CANCER, xgboost.XGBClassifier, {"objective": "binary:logitraw", "grow_policy": "lossguide"}),
        (WINE, xgboost.XGBClassifier, {}),
        (WINE, xgboost.XGBClassifier, {"num_parallel_tree": 2, "subsample": 0.7}),
        (DIABETES, xgboost.XGBRegressor, {"max_bin": 32}),
        (DIABETES, xgboost.XGBRegressor, {"max_bin": 32, "objective": "reg:absoluteerror"}),
    ],
)
def test_xgboost_models_answer_as_xgboost(tmp_path: Path, table: Table, kind: Any, options: Any) -> None:
    target = table.labels(table.classes) if table.classes and table.task != "regression" else table.quantities
    model = kind(n_estimators=8, max_depth=4, n_jobs=1, **options).fit(table.values, target)
    taken = imported(tmp_path / "model.json", xgboost_json(model), table)
    theirs = model.predict(table.values, output_margin=True).reshape(len(table.values), -1)
    # XGBoost adds in 32 bits.
    assert np.allclose(taken.reference.margins(table.values), theirs, rtol=1e-5, atol=1e-4)
    within_rounding(taken, table)


SCIKIT = [
    (CANCER, LogisticRegression(max_iter=100)),
    (CANCER, make_pipeline(StandardScaler(), LogisticRegression())),
    (WINE, make_pipeline(StandardScaler(), LogisticRegression())),
    (DIABETES, LinearRegression()),
    (DIABETES, Ridge()),
    (CANCER, DecisionTreeClassifier(max_depth=5, random_state=1)),
    (CANCER, RandomForestClassifier(10, max_depth=4, random_state=1)),
    (WINE, ExtraTreesClassifier(10, max_depth=4, random_state=1)),
    (DIABETES, DecisionTreeRegressor(max_depth=4, random_state=1)),
    (DIABETES, RandomForestRegressor(8, max_depth=4, random_state=1)),
    (CANCER, GradientBoostingClassifier(n_estimators=8, random_state=1)),
    (WINE, GradientBoostingClassifier(n_estimators=8, random_state=1)),
    (DIABETES, GradientBoostingRegressor(n_estimators=8, random_state=1)),
    (DIABETES, GradientBoostingRegressor(n_estimators=8, loss="huber", random_state=1)),
]


@pytest.mark.filterwarnings("ignore")  # of fits that stopped early: the models need not be good
@pytest.mark.parametrize(("table", "model"), SCIKIT)
def test_scikit_learn_models_answer_as_scikit_learn(tmp_path: Path, table: Table, model: Any) -> None:
    model.fit(table.values, known(table))
    taken = imported(tmp_path / "model.skops", skops.io.dumps(model), table)
    margins, meaning = taken.reference.margins(table.values), taken.reference.meaning
    if meaning.task == "regression":
        assert np.allclose(margins[:, 0], model.predict(table.values), rtol=1e-12)
    else:
        named = np.array(meaning.classes)[labels(margins, meaning)]
        # Where votes are equal, which class is named first is nobody's to say.
        ordered = np.sort(model.predict_proba(table.values), axis=1)
        clear = ordered[:, -1] - ordered[:, -2] > 1e-9
        assert (named == model.predict(table.values))[clear].all()
        if hasattr(model, "decision_function"):
            theirs = model.decision_function(table.values).reshape(margins.shape)
            assert np.allclose(margins, theirs, rtol=1e-9, atol=1e-9)
    within_rounding(taken, table)


def within_rounding(taken: Imported, table: Table) -> None:
    """A tree is off by half a unit at most; a line that became steps, by how far its bins reach."""
    exact, whole = taken.reference.margins(table.values), quantised_margins(taken.published, table.values)
    if not isinstance(taken.reference, Line):
        trees = np.bincount(taken.reference.group).max()
        assert np.abs(exact - whole).max() <= 0.5001 * trees / taken.published.manifest.scale
    elif taken.reference.meaning.task == "regression":
        assert np.corrcoef(exact[:, 0], whole[:, 0])[0, 1] > 0.99
    else:
        meaning = taken.reference.meaning
        assert (labels(exact, meaning) == labels(whole, meaning)).mean() > 0.97


def test_a_share_of_votes_shows_as_about_that_probability() -> None:
    model = RandomForestClassifier(10, max_depth=2, random_state=1).fit(CANCER.values, known(CANCER))
    reference, _, _ = read_skops(skops.io.dumps(model))
    shown = 1 / (1 + np.exp(-reference.margins(CANCER.values)[:, 0]))
    assert np.abs(shown - model.predict_proba(CANCER.values)[:, 1]).max() < 0.06


def test_thresholds_that_do_not_fit_are_moved_only_when_allowed(tmp_path: Path) -> None:
    model = RandomForestClassifier(100, max_depth=6, random_state=1).fit(CANCER.values, known(CANCER))
    content = skops.io.dumps(model)
    with pytest.raises(CannotTrain, match=r"each of 30 features may have 34.*--fewer-edges"):
        imported(tmp_path / "model", content, CANCER)
    taken = imported(tmp_path / "model", content, CANCER, fewer=True)
    assert taken.published.manifest.edges_per_feature <= 34
    exact, whole = taken.reference.margins(CANCER.values), quantised_margins(taken.published, CANCER.values)
    assert ((exact > 0) == (whole > 0)).mean() > 0.98
    assert any("thresholds were moved" in one for one in taken.notes)


def test_features_are_taken_by_their_names_in_the_models_order(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(WINE.values, WINE.labels(WINE.classes))
    model.get_booster().feature_names = list(WINE.names)
    turned = WINE.of(WINE.names[::-1])
    taken = imported(tmp_path / "model", xgboost_json(model), turned)
    assert tuple(one.name for one in taken.published.manifest.features) == WINE.names
    with pytest.raises(BadData, match=f"no column {WINE.names[0]!r}"):
        imported(tmp_path / "model", xgboost_json(model), WINE.of(WINE.names[1:]))


def test_features_without_names_must_be_as_many(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(WINE.values, WINE.labels(WINE.classes))
    with pytest.raises(BadData, match="takes 13 features, the table has 12"):
        imported(tmp_path / "model", xgboost_json(model), WINE.of(WINE.names[1:]))


class Code:
    """What a pickle can do: it would make a file here."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_never_loaded(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    content = pickle.dumps(Code(made), protocol)
    with pytest.raises(BadModelFile):
        imported(tmp_path / "model.pkl", content, WINE)
    assert not made.exists()
    pickle.loads(content)  # noqa: S301 - the test's own: loading it would have done so
    assert made.exists()


def test_a_pickle_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match=r"looks like a pickle.*skops\.io\.dump"):
        imported(tmp_path / "model", pickle.dumps([1]), WINE)


def changed_archive(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The skops file with its schema changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(out, "w") as new:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "schema.json":
                schema = json.loads(data)
                change(schema)
                data = json.dumps(schema).encode()
            new.writestr(name, data)
    return out.getvalue()


def test_a_skops_file_of_foreign_types_is_refused() -> None:
    content = skops.io.dumps(LinearRegression().fit(DIABETES.values, DIABETES.quantities))

    def change(schema: dict[str, Any]) -> None:
        schema["__module__"], schema["__class__"] = "subprocess", "Popen"

    with pytest.raises(BadModelFile, match=r"the type 'subprocess\.Popen'"):
        read_skops(changed_archive(content, change))


def test_a_model_that_is_no_such_model_is_refused() -> None:
    model = KMeans(2, n_init=1, random_state=0).fit(WINE.values)
    with pytest.raises(BadModelFile, match=r"KMeans cannot be evaluated; there are DecisionTree"):
        read_skops(skops.io.dumps(model))


def test_an_archive_that_unpacks_to_too_much_is_refused_unread() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"0" * (1 << 28))
        archive.writestr("more", b"0")
    with pytest.raises(BadModelFile, match="unpacks to over"):
        read_skops(out.getvalue())


def test_a_tree_that_claims_more_nodes_than_it_has_is_read_without_them() -> None:
    """Beyond its nodes is foreign memory."""
    model = DecisionTreeRegressor(max_depth=2, random_state=0).fit(DIABETES.values, DIABETES.quantities)
    content = skops.io.dumps(model)
    found: list[str] = []

    def enlarge(one: Any) -> None:
        """Every number of nodes that lies in the schema as JSON."""
        if isinstance(one, dict):
            for value in one.values():
                enlarge(value)
            nodes = one.get("content", {}).get("node_count") if isinstance(one.get("content"), dict) else None
            if nodes is not None:
                found.append(nodes["content"])
                nodes["content"] = "100000"
        elif isinstance(one, list):
            for value in one:
                enlarge(value)

    changed = changed_archive(content, enlarge)
    assert found == [str(model.tree_.node_count)]
    reference, _, _ = read_skops(changed)
    assert np.allclose(reference.margins(DIABETES.values)[:, 0], model.predict(DIABETES.values))


BOOSTED = json.loads(
    xgboost_json(
        xgboost.XGBClassifier(n_estimators=2, max_depth=2, n_jobs=1).fit(
            CANCER.values, CANCER.labels(CANCER.classes)
        )
    )
)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("objective", "name"), "count:poisson", "the objective is 'count:poisson'"),
        (("gradient_booster", "name"), "dart", "the booster is 'dart'"),
        (("learner_model_param", "num_feature"), "0", "num_feature"),
        (("learner_model_param", "num_feature"), "3", "not a whole number from 0 to 2"),
        (("learner_model_param", "num_target"), "2", "several targets"),
        (("learner_model_param", "base_score"), "2", "no probability"),
        (("learner_model_param", "base_score"), "nan", "base_score"),
        (("learner_model_param", "base_score"), "[0.5,0.5]", "base_score"),
        (("gradient_booster", "model", "tree_info"), [0, 1], "tree_info is 1"),
        (("gradient_booster", "model", "tree_info"), [0], "the model has 2 trees"),
        (("gradient_booster", "model", "trees", 0, "left_children", 0), 0, "tree 0, node 0 is 0"),
        (("gradient_booster", "model", "trees", 0, "left_children", 0), 99, "tree 0, node 0 is 99"),
        (("gradient_booster", "model", "trees", 0, "left_children", 0), 2, "reached twice"),
        (("gradient_booster", "model", "trees", 0, "left_children", 0), 1.0, "not a whole number"),
        (("gradient_booster", "model", "trees", 0, "split_conditions", 0), 1e300, "no finite number"),
        (("gradient_booster", "model", "trees", 0, "split_conditions"), [], "differ in length"),
        (("gradient_booster", "model", "trees", 0, "split_type", 0), 1, "by categories"),
        (("gradient_booster", "model", "trees", 0, "tree_param", "size_leaf_vector"), "3", "a vector"),
        (("gradient_booster", "model", "trees"), [], "0 trees"),
        (("feature_names",), ["a"], "does not name each"),
    ],
)
def test_a_changed_xgboost_model_is_refused(path: tuple[Any, ...], value: Any, told: str) -> None:
    model = json.loads(json.dumps(BOOSTED))
    place = model["learner"]
    for one in path[:-1]:
        place = place[one]
    assert path[-1] in place or isinstance(place, list)
    place[path[-1]] = value
    with pytest.raises(BadModelFile, match=told):
        read_xgboost(json.dumps(model).encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"learner": 1}',
        "[" * 100_000,
        '{"learner": []}',
        '{"learner": {"gradient_booster": {"name": []}}}',
    ],
)
def test_other_json_is_no_xgboost_model(text: str) -> None:
    with pytest.raises(BadModelFile):
        read_xgboost(text.encode())


def paths(one: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a JSON value."""
    pairs = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
    return [above] + [path for key, value in pairs for path in paths(value, (*above, key))]


@settings(max_examples=200)
@given(
    st.sampled_from(paths(BOOSTED["learner"], ("learner",))),
    st.sampled_from([None, True, -1, 0, 1, 2, 1 << 70, 1.5, "", "1", "x", [], [0], {}, float("nan")]),
)
def test_any_change_leaves_an_xgboost_model_or_a_refusal(path: tuple[Any, ...], value: Any) -> None:
    model = json.loads(json.dumps(BOOSTED))
    place = model
    for one in path[:-1]:
        place = place[one]
    place[path[-1]] = value
    try:
        ensemble, _, features = read_xgboost(json.dumps(model).encode())
    except BadModelFile:
        return
    assert np.isfinite(ensemble.margins(np.zeros((1, features)))).all()


@given(st.binary(max_size=200))
def test_any_bytes_are_no_skops_model(content: bytes) -> None:
    with pytest.raises(BadModelFile):
        read_skops(content)


def test_bytes_of_a_skops_file_changed_anywhere_give_a_model_or_a_refusal() -> None:
    content = skops.io.dumps(LinearRegression().fit(WINE.values[:, :2], WINE.values[:, 2]))
    rng = np.random.default_rng(1)
    refused = 0
    for at in rng.integers(0, len(content), 60):
        changed = bytearray(content)
        changed[at] ^= 1 << int(rng.integers(8))
        with contextlib.suppress(BadModelFile):
            read_skops(bytes(changed))
            continue
        refused += 1
    assert refused > 30
