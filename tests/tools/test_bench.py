"""The benchmarks: one shape, the agreed keys, figures that hang together, and what is missing is said."""

import json
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from tests.parts.board import BIN

from pericard_tools.bench.shape import by_turns, median_ratio, percentiles, show

COMMON = {"name", "machine", "runs"}


def report(name: str, *options: str) -> dict[str, Any]:
    """What `pericard bench NAME --quick --json` prints, which is one object and nothing else."""
    run = subprocess.run(
        [BIN / "pericard", "bench", name, "--quick", "--json", *options],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    assert set(found) >= COMMON
    assert found["name"] == name
    assert found["runs"] >= 1
    assert set(found["machine"]) == {"cores", "processor", "python", "libraries"}
    return found


def check_nulls(value: object) -> None:
    """Nothing is null without a reason beside it."""
    if isinstance(value, dict):
        assert None not in value.values() or value.get("why"), value
        for one in value.values():
            check_nulls(one)


@pytest.mark.slow
def test_device() -> None:
    found = report("device")
    assert set(found) == COMMON | {"frames", "alloc_bytes_per_frame", "ram_bytes", "instructions_100"}
    assert set(found["frames"]) == {"32", "128", "512"}
    for row in found["frames"].values():
        assert set(row) == {"viper_us", "plain_us", "speedup", "openssl_us"}
        assert row["speedup"] >= 20
    assert found["alloc_bytes_per_frame"] == 0
    assert 0 < found["ram_bytes"] < 60_000
    assert set(found["instructions_100"]) - {"why"} == {"xtensawin", "rv32imc"}
    check_nulls(found)


@pytest.mark.slow
def test_gateway() -> None:
    found = report("gateway")
    agreed = {"frames_per_s", "floor_frames_per_s", "ratio", "wire_bytes_per_frame", "rss_mb"}
    assert set(found) >= COMMON | agreed | {"commit_p50_ms", "commit_p99_ms"}
    assert found["ratio"] > 1
    assert 89 < found["wire_bytes_per_frame"] < found["frame_bytes"]  # more than the payload
    for figure in ("commit_p50_ms", "commit_p99_ms"):
        assert set(found[figure]) - {"why"} == {"10", "1000", "10000"}
    # A busy machine may not carry the higher rates, and says so; ten frames a second it does.
    assert 0 < found["commit_p50_ms"]["10"] <= found["commit_p99_ms"]["10"]
    check_nulls(found)


@pytest.mark.slow
def test_ingest() -> None:
    found = report("ingest")
    assert set(found) >= COMMON | {"suites"}
    assert found["suites"]
    for row in found["suites"].values():
        assert set(row) >= {"frames_per_s", "floor_frames_per_s", "ratio"}
        assert row["ratio"] > 1
        assert row["frames_per_s"] < row["floor_frames_per_s"]


@pytest.mark.slow
def test_kms() -> None:
    found = report("kms")
    assert set(found) == COMMON | {"rows"}
    assert set(found["rows"]) == {
        "encrypt_1",
        "encrypt_4",
        "batch_100",
        "decrypt_1",
        "sign_mldsa65_1",
        "datakey_wrapped_1",
    }
    for name, row in found["rows"].items():
        assert set(row) - {"why"} == {
            "pericard_per_s",
            "openbao_per_s",
            "ratio",
            "durable_per_s",
            "durable_ratio",
        }
        assert row["pericard_per_s"] > 0
        assert row["durable_per_s"] > 0
        if name == "sign_mldsa65_1":
            assert row["openbao_per_s"] is None
            assert "no such key type" in row["why"]
        else:
            assert row["ratio"] == round(row["pericard_per_s"] / row["openbao_per_s"], 2)
    check_nulls(found)


@pytest.mark.slow
def test_prediction() -> None:
    found = report("prediction", "--cluster")
    assert set(found) == COMMON | {"models", "full_trees", "batch_1000_ms_per_row"}
    assert set(found["models"]) == {"20x3", "50x3", "100x6", "200x6"}
    assert set(found["full_trees"]) == {"100x6"}
    assert found["full_trees"]["100x6"]["leaves"] == 6400
    for row in (*found["models"].values(), *found["full_trees"].values()):
        assert set(row) - {"why", "server_cpu_ms", "sustained_cpu_ms"} == {
            "leaves",
            "server_ms",
            "server_p95_ms",
            "sustained_ms",
            "client_ms",
            "upload_bytes",
            "reply_bytes",
            "key_bytes",
            "accuracy",
            "rows_checked",
            "rows_equal",
            "concrete_ml_ms",
            "ratio",
        }
        assert row["rows_equal"] == row["rows_checked"] > 0
        assert row["accuracy"]["encrypted"] == row["accuracy"]["quantised"]
        assert row["server_ms"] < row["sustained_ms"]
        assert row["key_bytes"] <= 300_000
        assert row["upload_bytes"] <= 40_000
        assert row["concrete_ml_ms"] is row["ratio"] is None
    assert found["models"]["20x3"]["reply_bytes"] <= 40_000
    assert set(found["batch_1000_ms_per_row"]) == {"1", "2", "cluster"}
    check_nulls(found)


# Runs a command where one of Pericard's packages cannot be imported.
WITHOUT = "import sys; sys.modules[sys.argv.pop(1)] = None; from pericard_tools.cli import main; main()"


@pytest.mark.parametrize(
    ("package", "bench"),
    [
        ("pericard_gateway", "gateway"),
        ("pericard_server", "ingest"),
        ("pericard_kms", "kms"),
        ("pericard_cloud", "prediction"),
        ("pericard_client", "prediction"),
    ],
)
def test_a_domain_that_is_not_installed_is_named(package: str, bench: str) -> None:
    command = [sys.executable, "-c", WITHOUT, package, "bench", bench, "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    needed = package.replace("_", "-")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: {bench} needs {needed}, which is not installed: install it first\n"


def test_the_list_of_benches_survives_a_missing_domain() -> None:
    command = [sys.executable, "-c", WITHOUT, "pericard_kms", "bench", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "kms (needs pericard-kms, which is not installed)" in " ".join(done.stdout.split())


def test_sides_take_turns_and_the_first_runs_are_not_counted() -> None:
    order: list[str] = []

    def run(side: str) -> int:
        order.append(side)
        return len(order)

    found = by_turns("x", 2, {"a": lambda: run("a"), "b": lambda: run("b")}, warm_up=1)
    assert order == ["a", "b"] * 3
    assert found == {"a": [3, 5], "b": [4, 6]}


def test_a_ratio_is_of_the_same_run() -> None:
    # A processor that is ten times slower in the second run changes no ratio.
    assert median_ratio([3, 30, 4], [1, 10, 2]) == 3.0


def test_percentiles_are_of_the_values() -> None:
    assert percentiles(list(range(1, 200))) == (100.0, 198.0)


def test_a_report_is_printed_with_every_figure() -> None:
    screen = Console(file=StringIO(), width=110)
    rows = {"one": {"per_s": 1234.5, "ratio": None, "why": "no peer"}, "two": {"per_s": 2, "ratio": 0.5}}
    show({"name": "x", "runs": 3, "rows": rows, "by_rate": {"10": None, "why": "too slow"}}, screen)
    assert isinstance(screen.file, StringIO)
    told = screen.file.getvalue()
    assert "runs                     3\n" in told
    assert "by_rate                  10 -, why too slow\n" in told
    lines = [line.replace(" ", "") for line in told.splitlines()]
    assert "│one│1,234.50│-│nopeer│" in lines
    assert "│two│2│0.50││" in lines
