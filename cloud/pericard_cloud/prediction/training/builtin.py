"""The model that a portal has out of the box."""

import logging
from pathlib import Path
from typing import Any

from pericard_cloud.prediction.training import datasets, store
from pericard_cloud.prediction.training.card import card
from pericard_cloud.prediction.training.fit import Told, Trained, Wanted, train
from pericard_edge.jsonlog import fields

_log = logging.getLogger("pericard.prediction")

BREAST_CANCER = "breast-cancer"


def made(wanted: Wanted, name: str, told: Told = lambda: None) -> tuple[Trained, dict[str, Any]]:
    """A model of one of the data sets, and its card."""
    trained = train(datasets.table(name), wanted, told)
    return trained, card_of(trained, datasets.DATA_SETS[name].title)


def card_of(trained: Trained, title: str | None) -> dict[str, Any]:
    """The card of a model that was trained here, judged by the rows that it never saw."""
    return card(
        trained.published,
        trained.reference,
        trained.held_out,
        trained_rows=len(trained.training.values),
        title=title,
    )


def publish_when_empty(models: Path) -> bool:
    """Trains and publishes the breast-cancer model where the folder holds no model; True where it did."""
    if store.names(models):
        return False
    trained, content = made(Wanted(BREAST_CANCER), BREAST_CANCER)
    store.publish(models, trained.published, content)
    _log.info("published the model that is built in", extra=fields(model=BREAST_CANCER))
    return True
