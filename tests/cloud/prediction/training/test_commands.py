"""`pericard cloud train` and `import-model`, as an operator runs them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pericard_cloud.cli import cloud
from pericard_cloud.prediction.training import store
from pericard_protocol.errors import PericardError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cloud, [str(one) for one in arguments])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The answer is whether a + b is above 10."""
    lines = [f"{a},{b},{'high' if a + b > 10 else 'low'}" for a in range(12) for b in range(12)]
    path = tmp_path / "table.csv"
    path.write_text("a,b,sum\n" + "\n".join(lines) + "\n")
    return path


def test_a_table_becomes_a_published_model(tmp_path: Path, table: Path) -> None:
    result = run("train", table, "--model", "sum", "--trees", 20, "--models", tmp_path / "models", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    published, card = store.read(tmp_path / "models", "sum")
    assert told == card
    assert published.manifest.classes == ("high", "low")
    assert card["accuracy"]["quantised"] > 0.9
    assert "training" in result.stderr


def test_the_same_seed_makes_the_same_model(tmp_path: Path, table: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        run("train", table, "--model", "sum", "--trees", 5, "--models", tmp_path / name)
        digests.add((tmp_path / name / "sum" / "card.json").read_text())
    assert len(digests) == 1


def test_what_is_built_in_needs_no_name(tmp_path: Path) -> None:
    result = run("train", "--builtin", "wine", "--trees", 3, "--models", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# Wine")
    assert store.names(tmp_path) == ["wine"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--builtin", "wine", "--target", "x"),
        ("--builtin", "iris"),
        ("--builtin", "wine", "--trees", "201"),
        ("--builtin", "wine", "--depth", "7"),
        ("--builtin", "wine", "--edges", "64"),
        ("--builtin", "wine", "--model", "../up"),
        ("--builtin", "wine", "--parameters", "s2"),
    ],
)
def test_what_cannot_be_is_a_wrong_use(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run("train", *arguments, "--models", tmp_path)
    assert result.exit_code == 2
    assert not store.names(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--task", "regression"), "'sum' is no number in every row"),
        (("--task", "multiclass"), "'sum' has 2 different values"),
        (("--target", "c"), "no column 'c'"),
    ],
)
def test_data_that_does_not_fit_is_told(
    tmp_path: Path, table: Path, arguments: tuple[str, ...], told: str
) -> None:
    result = run("train", table, "--model", "sum", "--models", tmp_path / "models", *arguments)
    assert isinstance(result.exception, PericardError)
    assert told in str(result.exception)


def test_too_few_rows_and_a_lonely_class_are_told(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("a,b\n" + "1,x\n2,y\n" * 5)
    assert "10 rows" in str(run("train", path, "--model", "m", "--models", tmp_path).exception)
    path.write_text("a,b\n" + "1,x\n" * 30 + "2,y\n")
    assert "class 'y' of 'b' has one row" in str(
        run("train", path, "--model", "m", "--models", tmp_path).exception
    )


def test_a_model_from_elsewhere_is_published_with_its_card(tmp_path: Path, table: Path) -> None:
    rows = [line.split(",") for line in table.read_text().split()[1:]]
    import skops.io  # here: with scikit-learn it takes seconds to import
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(max_depth=5).fit(
        [[float(a), float(b)] for a, b, _ in rows], [c for *_, c in rows]
    )
    (tmp_path / "model.skops").write_bytes(skops.io.dumps(model))
    result = run(
        "import-model", tmp_path / "model.skops", "--features", table, "--target", "sum", "--model", "tree",
        "--models", tmp_path / "models", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    published, card = store.read(tmp_path / "models", "tree")
    assert json.loads(result.stdout) == card
    assert published.manifest.classes == ("high", "low")
    assert card["accuracy"]["float"] == card["accuracy"]["quantised"] > 0.9
    assert any("thresholds" in one for one in card["notes"])


def test_a_model_can_be_published_without_batches(tmp_path: Path) -> None:
    for option, columns in (("--batches", 4), ("--no-batches", 0)):
        result = run("train", "--builtin", "wine", "--trees", 2, "--depth", 2, option, "--models", tmp_path)
        assert result.exit_code == 0, result.output
        published, card = store.read(tmp_path, "wine")
        assert published.manifest.columns == columns
        told = [one for one in card["what a user can learn"] if "batch" in one or "at once" in one]
        assert len(told) == 1


def test_libraries_that_are_not_installed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pericard_cloud.prediction.training.commands.find_spec",
        lambda name: None if name == "skops" else name,
    )
    result = run("train", "--builtin", "wine", "--models", tmp_path)
    assert "skops is not installed: install pericard-cloud[train]" in str(result.exception)
