"""The whole way by the API: keys, query, job, result. The reply opens to what the model says in the clear."""

from typing import Any

import pytest
from tests.parts.blind_client import BlindClient, tree_model
from tests.parts.portal import Caller, Portal, finished

from pericard_protocol.prediction.manifest import Manifest

FEATURES = [[1.0, 2.0], [3.0, 5.0], [9.0, 0.0]]


def test_a_prediction_by_the_api_equals_the_model(portal: Portal, predictor: Any, blind: BlindClient) -> None:
    job = predictor.asked(FEATURES)
    shown = finished(predictor.program, job)
    assert (shown["state"], shown["progress"], shown["rows"], shown["error"]) == ("done", 1.0, 3, None)
    result = predictor.program.get(f"/api/v1/jobs/{job}/result")
    assert result.headers["content-type"] == "application/octet-stream"
    assert blind.sums(result.body) == blind.expected(tree_model(), FEATURES)


def test_a_linear_model_takes_keys_without_rotations(portal: Portal) -> None:
    manifest = Manifest.from_json((portal.folder / "models" / "line" / "model.json").read_text())
    blind, program = BlindClient(manifest), portal.program()
    key = program.upload("/api/v1/keys", blind.keys).json["id"]
    taken = program.upload(f"/api/v1/jobs?model=line&key={key}", blind.query(FEATURES))
    assert taken.status == 202, taken.text
    finished(program, taken.json["id"])
    reply = program.get(f"/api/v1/jobs/{taken.json['id']}/result").body
    from tests.parts.blind_client import linear_model

    assert blind.sums(reply) == blind.expected(linear_model(), FEATURES)


def test_models_are_shown_to_anybody(portal: Portal, manifest: Manifest) -> None:
    stranger = portal.caller()
    assert [one["name"] for one in stranger.get("/api/v1/models").json] == ["line", "small"]
    shown = stranger.get("/api/v1/models/small").json
    assert shown["manifest"]["digest"] == manifest.digest
    assert shown["card"]["title"] == "A small model"
    assert stranger.get("/api/v1/models/none").status == 404


@pytest.fixture
def browser(predictor: Any) -> Caller:
    found: Caller = predictor.browser
    return found


def test_a_browsers_session_needs_the_forms_token(predictor: Any, blind: BlindClient) -> None:
    browser: Caller = predictor.browser
    path = f"/api/v1/jobs?model=small&key={predictor.key}"
    query = blind.query(FEATURES)
    refused = browser.upload(path, query)
    assert (refused.status, refused.json["reason"]) == (403, "form token")
    from tests.parts.portal import form_token

    token = form_token(browser.get("/account/").text)
    taken = browser.upload(path, query, X_CSRFToken=token, Origin=browser.origin)
    assert taken.status == 202, taken.text
    assert [one["id"] for one in browser.get("/api/v1/jobs").json] == [taken.json["id"]]
    assert finished(browser, taken.json["id"])["state"] == "done"
