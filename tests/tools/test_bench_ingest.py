"""The ingest bench, as a process because it brings its own database: every agreed key is there."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_every_agreed_figure_is_measured() -> None:
    code = "from pericard_tools.bench.ingest import bench; bench()"
    done = subprocess.run([sys.executable, "-c", code, "--quick", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert {"name", "machine", "runs", "suites"} <= set(figures)
    for suite in ("aes-256-gcm-siv", "fernet"):
        assert figures["suites"][suite]["ratio"] > 1
        assert figures["suites"][suite]["frames_per_s"] < figures["suites"][suite]["floor_frames_per_s"]
