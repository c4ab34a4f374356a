"""A portal whose folder of models is empty has a model out of the box; one with a model is left alone."""

from pathlib import Path

import pytest
from tests.parts.blind_client import BlindClient
from tests.parts.portal import Portal, finished

from pericard_cloud.prediction.published import Published
from pericard_cloud.prediction.training import datasets
from pericard_cloud.prediction.training.fit import Wanted, train


@pytest.mark.slow
def test_a_portal_without_models_answers_by_the_one_that_is_built_in(tmp_path: Path) -> None:
    portal = Portal(tmp_path)
    try:
        (listed,) = portal.caller().get("/api/v1/models").json
        assert listed["name"] == "breast-cancer"
        published = Published.read(tmp_path / "models" / "breast-cancer")
        shown = portal.caller().get("/api/v1/models/breast-cancer").json
        assert shown["manifest"]["digest"] == published.manifest.digest
        assert shown["card"]["accuracy"]["quantised"] > 0.9
        assert "accuracy · quantised" in portal.registered().get("/models/breast-cancer/").text
        blind, program = BlindClient(published.manifest), portal.program()
        key = program.upload("/api/v1/keys", blind.keys).json["id"]
        rows = train(datasets.table("breast-cancer"), Wanted("breast-cancer")).held_out.values[:3]
        taken = program.upload(f"/api/v1/jobs?model=breast-cancer&key={key}", blind.query(rows.tolist()))
        assert taken.status == 202, taken.text
        assert finished(program, taken.json["id"])["state"] == "done"
        reply = program.get(f"/api/v1/jobs/{taken.json['id']}/result").body
        assert blind.sums(reply) == blind.expected(published.model, rows)
    finally:
        portal.stop()
