"""Keeps scikit-learn and XGBoost out of the quick tests: every process would import them for seconds."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Does not even import the module of models from elsewhere where its tests, all slow, are left out."""
    left_out = config.getoption("markexpr") == "not slow"
    return True if left_out and collection_path.name == "test_importing.py" else None
