"""A portal with two small models, and users whose keys and queries are real."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.parts.blind_client import BlindClient, linear_model, publish, tree_model
from tests.parts.portal import Caller, Portal

from pericard_protocol.prediction.manifest import Manifest

FEATURES = [[1.0, 2.0], [3.0, 5.0], [9.0, 0.0]]
TREES = tree_model()
LINE = linear_model()


@pytest.fixture(scope="session")
def start_portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Portal]]:
    started: list[Portal] = []

    def start(more: str = "", **environment: str) -> Portal:
        folder = tmp_path_factory.mktemp("portal")
        publish(folder / "models", "small", TREES)
        publish(folder / "models", "line", LINE)
        started.append(Portal(folder, more, environment))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()


@pytest.fixture(scope="session")
def portal(start_portal: Callable[..., Portal]) -> Portal:
    return start_portal()


@pytest.fixture(scope="session")
def manifest(portal: Portal) -> Manifest:
    return Manifest.from_json((portal.folder / "models" / "small" / "model.json").read_text())


@pytest.fixture(scope="session")
def blind(manifest: Manifest) -> BlindClient:
    return BlindClient(manifest)


class Predictor:
    """A new user with keys on a portal."""

    def __init__(self, portal: Portal, blind: BlindClient) -> None:
        self.browser = portal.registered()
        self.program: Caller = portal.program(self.browser)
        self.blind = blind
        answer = self.program.upload("/api/v1/keys", blind.keys)
        assert answer.status == 201, answer.text
        self.key: str = answer.json["id"]

    def ask(self, query: bytes, model: str = "small", key: str | None = None) -> Any:
        return self.program.upload(f"/api/v1/jobs?model={model}&key={key or self.key}", query)

    def asked(self, features: Any = None) -> str:
        """The id of a job that was taken."""
        answer = self.ask(self.blind.query(FEATURES if features is None else features))
        assert answer.status == 202, answer.text
        return str(answer.json["id"])


@pytest.fixture
def predictor(portal: Portal, blind: BlindClient) -> Predictor:
    return Predictor(portal, blind)


@pytest.fixture(scope="session")
def predictors(blind: BlindClient) -> Callable[[Portal], Predictor]:
    """Makes users of other portals."""
    return lambda portal: Predictor(portal, blind)
