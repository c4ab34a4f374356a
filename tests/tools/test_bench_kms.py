"""The benchmark itself: both servers run, every row is there, and the JSON is the one that was agreed on."""

import json
import subprocess
import sys

import pytest

ROWS = {"encrypt_1", "encrypt_4", "batch_100", "decrypt_1", "sign_mldsa65_1", "datakey_wrapped_1"}


@pytest.mark.slow
def test_the_quick_benchmark_fills_every_row() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pericard_tools", "bench", "kms", "--quick", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["name"] == "kms"
    assert set(report["rows"]) == ROWS
    for name, row in report["rows"].items():
        assert row["pericard_per_s"] > 0
        assert row["pericard_disk_per_s"] > 0
        if name == "sign_mldsa65_1":
            assert row["openbao_per_s"] is None
            assert "no such key type" in row["why"]
        else:
            assert row["ratio"] == round(row["pericard_per_s"] / row["openbao_per_s"], 2)
