"""An independent scanner of the sources: bandit finds nothing in what strangers reach."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
from tests.parts.documents import ROOT


@pytest.mark.skipif(find_spec("bandit") is None, reason="bandit is installed where the product is checked")
@pytest.mark.slow
def test_bandit_finds_nothing() -> None:
    # B101: an assert that states what types cannot say guards nothing here; ruff asks a reason for each.
    folders = [ROOT / "web" / "pericard_web", ROOT / "cloud" / "pericard_cloud" / "portal"]
    done = subprocess.run(
        [sys.executable, "-m", "bandit", "-q", "-r", "-s", "B101", *folders],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
