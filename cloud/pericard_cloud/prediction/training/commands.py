"""`pericard cloud train` and `pericard cloud import-model`."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pericard_cloud.prediction.training.datasets import DATA_SETS

_KINDS = click.Choice(["trees", "linear"])
_TASKS = click.Choice(["auto", "binary", "multiclass", "regression"])
_BUILTIN = click.Choice(list(DATA_SETS))


def _where(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the model's card as one JSON object."),
        click.option(
            "--models",
            type=click.Path(path_type=Path, file_okay=False),
            default="models",
            show_default=True,
            help="The portal's folder of models.",
        ),
        click.option(
            "--parameters",
            type=click.Choice(["s1", "s3"]),
            default="s1",
            show_default=True,
            help="s3: replies twice as large, with more noise to hide the model behind.",
        ),
        click.option(
            "--batches/--no-batches",
            default=True,
            help="Whether many rows may be asked at once, which tells a thief more of a model.",
        ),
        click.option("--title", help="What people call the model."),
        click.option(
            "--target", metavar="COLUMN", help="What is to be predicted; for training, else the last one."
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("table", required=False, metavar="CSV", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--builtin", type=_BUILTIN, help="Train on one of scikit-learn's data sets instead.")
@click.option("--model", "name", metavar="NAME", help="What it is called in addresses: a-z, 0-9 and hyphens.")
@click.option("--kind", type=_KINDS, default="trees", show_default=True)
@click.option(
    "--trees",
    type=click.IntRange(1, 200),
    default=50,
    show_default=True,
    help="For each class, where there are several.",
)
@click.option("--depth", type=click.IntRange(1, 6), default=3, show_default=True)
@click.option(
    "--rate", type=click.FloatRange(0.001, 1.0), help="The learning rate; else 0.3, a regression's 0.1."
)
@click.option("--edges", type=click.IntRange(1, 63), help="At most so many a feature; else as many as fit.")
@click.option(
    "--task", type=_TASKS, default="auto", show_default=True, help="auto: what the column looks like."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@_where
def train(
    table: Path | None,
    builtin: str | None,
    name: str | None,
    target: str | None,
    title: str | None,
    models: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Trains a model on a CSV file, judges it by a quarter of the rows, and publishes it with its card.

    The file's first line names the columns. Every feature is a number; none may be missing.
    """
    from pericard_cloud.prediction.training import datasets, fit, store
    from pericard_cloud.prediction.training.builtin import card_of
    from pericard_cloud.prediction.training.table import read_csv

    if (table is None) == (builtin is None):
        raise click.UsageError("give a CSV file, or --builtin")
    if builtin is not None and target is not None:
        raise click.UsageError("--target is for a CSV file: a built-in data set has its own")
    if builtin is None and name is None:
        raise click.UsageError("give the model a name: --model")
    wanted = fit.Wanted(name=_checked(name or builtin or ""), **options)
    data = datasets.table(builtin) if builtin else read_csv(table or Path(), target)
    rounds = 0 if wanted.kind == "linear" else 2 * wanted.trees
    with click.progressbar(length=rounds, label="training", file=sys.stderr) as bar:
        trained = fit.train(data, wanted, lambda: bar.update(1))
    content = card_of(trained, title or (DATA_SETS[builtin].title if builtin else None))
    _tell(store.publish(models, trained.published, content), content, as_json)


@click.command("import-model")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--model", "name", metavar="NAME", required=True, help="What it is called in addresses.")
@click.option(
    "--features",
    "table",
    metavar="CSV",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Rows of its features.",
)
@click.option(
    "--fewer-edges",
    "fewer",
    is_flag=True,
    help="Move thresholds where there are too many: answers may change.",
)
@_where
def import_model(
    file: Path,
    name: str,
    table: Path,
    target: str | None,
    title: str | None,
    models: Path,
    parameters: str,
    batches: bool,
    fewer: bool,
    as_json: bool,
) -> None:
    """Publishes a model that was trained elsewhere: XGBoost's JSON, or scikit-learn's by skops.io.dump.

    A pickle or a joblib file is code: loading one runs what its author wrote. None is ever loaded.
    """
    from pericard_cloud.prediction.training import importing, store
    from pericard_cloud.prediction.training.card import card
    from pericard_cloud.prediction.training.table import read_csv

    rows = read_csv(table, target, need_target=False)
    imported = importing.import_model(file, rows, _checked(name), parameters, fewer=fewer, batches=batches)
    content = card(
        imported.published,
        imported.reference,
        imported.table,
        trained_rows=0,
        title=title,
        notes=imported.notes,
    )
    _tell(store.publish(models, imported.published, content), content, as_json)


def _checked(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", name):
        raise click.UsageError(f"--model {name!r}: a name is 1 to 64 of a-z, 0-9 and hyphens")
    return name


def _tell(folder: Path, content: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(content, allow_nan=False))
        return
    click.echo((folder / "card.md").read_text())
    click.echo(f"published in {folder}", err=True)
