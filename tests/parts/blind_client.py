"""A user of the portal: features in, sums out, by the real scheme; and two small models to ask."""

from pathlib import Path
from typing import Any

import numpy as np
from tests.parts.predicting import Client

from pericard_cloud.prediction import model as models
from pericard_cloud.prediction.layout import giant_for, plan_for
from pericard_cloud.prediction.model import LinearModel, TreeModel
from pericard_protocol.prediction import geometry, objects
from pericard_protocol.prediction.manifest import ROWS, Manifest

INPUTS = 256


def tree_model(trees: int = 4) -> TreeModel:
    """Trees of depth 2 on two features with three edges each, of one class."""
    leaves = 4 * trees
    path, direction = np.zeros((leaves, 2), np.int16), np.zeros((leaves, 2), np.int8)
    for tree in range(trees):
        for leaf in range(4):
            row = 4 * tree + leaf
            path[row] = [tree % 3, 3 + (tree + leaf // 2) % 3]
            direction[row] = [leaf // 2, leaf % 2]
    value = np.array([(7 * row) % 41 - 20 for row in range(leaves)], np.int32)
    return TreeModel(
        path, direction, value, np.repeat(np.arange(trees), 4).astype(np.int32), np.zeros(trees, np.int32)
    )


def linear_model() -> LinearModel:
    return LinearModel(np.array([[5, -3, 2, 8, -1, 4]], np.int32))


def publish(folder: Path, name: str, model: TreeModel | LinearModel) -> Manifest:
    """Writes a model where the portal looks for models."""
    trees = isinstance(model, TreeModel)
    plan, blocks = plan_for(model, INPUTS, 4096) if isinstance(model, TreeModel) else ((), ())
    feature: dict[str, Any] = {
        "unit": "mm",
        "edges": (1.5, 2.5, 4.0),
        "minimum": 0,
        "maximum": 9,
        "mean": 3.25,
    }
    manifest = Manifest.model_validate(
        {
            "name": name,
            "parameters": "s1",
            "kind": "trees" if trees else "linear",
            "task": "binary",
            "features": tuple({"name": one} | feature for one in ("radius", "texture")),
            "edges_per_feature": 3,
            "input_slots": INPUTS,
            "plan": plan,
            "giant": giant_for(plan) if trees else 16,
            "blocks": blocks,
            "trees": (len(model.group),) if isinstance(model, TreeModel) else (),
            "columns": 0 if trees else 1,
            "classes": ("benign", "malignant"),
            "scale": 100.0,
            "offset": (0.25,),
            "link": "logistic",
        }
    )
    (folder / name).mkdir(parents=True)
    (folder / name / "model.json").write_text(manifest.to_json())
    (folder / name / "card.json").write_text(
        '{"title": "A small model", "summary": "To test with.", "rows": 569}'
    )
    models.save(model, folder / name)
    return manifest


class BlindClient:
    """One user's keys for a manifest's parameters and steps."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest, self._client = manifest, Client(manifest)
        self.keys, self.fingerprint = self._client.keys, self._client.fingerprint

    def query(self, features: Any) -> bytes:
        """A query for float64[rows, F]."""
        return self._client.query(self._bits(features))

    def sums(self, reply: bytes) -> list[int]:
        """The score of each row of a reply in mode rows."""
        parsed = objects.parse_reply(reply, self.manifest, self.fingerprint)
        assert parsed.mode == ROWS
        return [int(self._client.read(list(parsed.ciphertexts(row))).sums[0]) for row in range(parsed.rows)]

    def expected(self, model: TreeModel | LinearModel, features: Any) -> list[int]:
        """The same in the clear, by the model itself."""
        bits = self._bits(features)
        wide = np.zeros((len(bits), self.manifest.input_slots), np.uint8)
        wide[:, : bits.shape[1]] = bits
        return [int(one) for one in model.sums(wide)[:, 0]]

    def _bits(self, features: Any) -> Any:
        in_bins = geometry.bins(np.asarray(features, np.float64), self.manifest)
        return geometry.thermometer(in_bins, self.manifest)
