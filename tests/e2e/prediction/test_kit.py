"""The kit and a real portal, each a process of its own: its answers are those of the model in the clear."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.parts.blind_client import linear_model, publish, tree_model
from tests.parts.portal import Portal, finished

from pericard_cloud.prediction.model import LinearModel, TreeModel
from pericard_protocol.prediction import geometry
from pericard_protocol.prediction.manifest import Manifest

ROWS = [[1.0, 2.0], [3.0, 5.0], [9.0, 0.0]]
MODELS: dict[str, TreeModel | LinearModel] = {"small": tree_model(), "line": linear_model()}
Kit = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    folder = tmp_path_factory.mktemp("portal")
    for name, model in MODELS.items():
        publish(folder / "models", name, model)
    one = Portal(folder)
    yield one
    one.stop()


@pytest.fixture
def token(portal: Portal) -> str:
    return portal.program().headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture
def kit(tmp_path: Path, token: str) -> Kit:
    """Runs the kit as a user does who has a token and a table."""
    (tmp_path / "table.json").write_text(
        json.dumps([dict(zip(("radius", "texture"), row, strict=True)) for row in ROWS])
    )
    environment = os.environ | {
        "PERICARD_TOKEN": token,
        "PERICARD_PASSPHRASE": "correct horse",
        "PERICARD_CLIENT_HOME": str(tmp_path / "home"),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("pericard-client")
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment
        )

    return run


def _margins(name: str, manifest: Manifest) -> list[float]:
    """By loops over the model's arrays."""
    model, found = MODELS[name], []
    for bits in geometry.thermometer(geometry.bins(np.array(ROWS), manifest), manifest):
        if isinstance(model, LinearModel):
            score = sum(int(weight) * int(bit) for weight, bit in zip(model.weight[0], bits, strict=True))
        else:
            leaves = zip(model.path, model.direction, model.value, strict=True)
            score = sum(
                int(value)
                for path, direction, value in leaves
                if all(slot < 0 or bits[slot] == way for slot, way in zip(path, direction, strict=True))
            )
        found.append(score / 100 + 0.25)
    return found


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "own_key",
    [
        pytest.param(False, id="key for once"),
        pytest.param(True, id="key of one's own", marks=pytest.mark.slow),
    ],
)
def test_the_answers_are_the_models(portal: Portal, kit: Kit, name: str, own_key: bool) -> None:
    more: list[str] = []
    if own_key:
        assert kit("models", portal.address, "--save", name).returncode == 0
        assert kit("keys", "new", "mine", "--model", f"{name}.json").returncode == 0
        more = ["--key", "mine"]
    done = kit("predict", portal.address, name, "table.json", "--json", *more)
    assert done.returncode == 0, done.stderr
    manifest = Manifest.from_json((portal.folder / "models" / name / "model.json").read_text())
    assert [one["margins"][0] for one in json.loads(done.stdout)["rows"]] == pytest.approx(
        _margins(name, manifest)
    )


def test_keys_made_for_once_and_jobs_are_deleted_there(portal: Portal, kit: Kit, token: str) -> None:
    assert kit("predict", portal.address, "small", "table.json").returncode == 0
    user = portal.caller(Authorization=f"Bearer {token}")
    assert user.get("/api/v1/keys").json == []
    assert user.get("/api/v1/jobs").json == []


def test_by_hand_through_any_program(portal: Portal, kit: Kit, token: str, tmp_path: Path) -> None:
    """Encrypted beside the network, carried by another program, opened again by the kit."""
    kit("models", portal.address, "--save", "line")
    kit("keys", "new", "mine")
    done = kit("encrypt", "line.json", "table.json", "--key", "mine", "-o", "query.pcq", "--mode", "columns")
    assert done.returncode == 0, done.stderr
    carrier = portal.caller(Authorization=f"Bearer {token}")
    key = carrier.upload("/api/v1/keys", (tmp_path / "home/keys/mine.pck").read_bytes()).json["id"]
    path = f"/api/v1/jobs?model=line&key={key}"
    job = carrier.upload(path, (tmp_path / "query.pcq").read_bytes()).json["id"]
    assert finished(carrier, job)["state"] == "done"
    (tmp_path / "reply.pcr").write_bytes(carrier.get(f"/api/v1/jobs/{job}/result").body)
    shown = kit("decrypt", "reply.pcr", "--json")
    assert shown.returncode == 0, shown.stderr
    manifest = Manifest.from_json((tmp_path / "line.json").read_text())
    margins = [one["margins"][0] for one in json.loads(shown.stdout)["rows"]]
    assert margins == pytest.approx(_margins("line", manifest))


def test_a_refusal_is_a_sentence(portal: Portal, kit: Kit) -> None:
    absent = kit("predict", portal.address, "none", "table.json")
    assert absent.returncode == 1
    assert re.fullmatch(r"Error: the portal refuses \(404\): .+\n", absent.stderr)
    kit("keys", "new", "mine")  # with the usual steps, which the small model does not rotate by
    unfit = kit("predict", portal.address, "small", "table.json", "--key", "mine")
    assert unfit.returncode == 1
    assert "does not serve small" in unfit.stderr


def test_doctor_finds_all_well(portal: Portal, kit: Kit) -> None:
    done = kit("doctor", portal.address)
    assert (done.returncode, done.stdout.count("NOT WELL")) == (0, 0), done.stdout
    assert "that of user-" in done.stdout
