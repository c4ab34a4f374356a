"""A portal with one linear model, and a folder of keys of one's own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.parts import prediction as spec
from tests.parts.portal_stand_in import TOKEN, StandInPortal, serving

WEIGHTS = np.array([120, 80, -40, 500, -250, 0], np.int64)


@pytest.fixture
def portal() -> Iterator[StandInPortal]:
    with serving(StandInPortal({"small": (spec.linear(), WEIGHTS)})) as one:
        yield one


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERICARD_CLIENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PERICARD_PASSPHRASE", "correct horse")
    monkeypatch.setenv("PERICARD_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"
