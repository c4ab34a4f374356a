"""A hospital for the tests of the server."""

from pathlib import Path
from typing import Any

import pytest
from tests.parts.hospital import Hospital, make


@pytest.fixture
def hospital(tmp_path: Path, authority: Any) -> Hospital:
    return make(tmp_path, authority)
