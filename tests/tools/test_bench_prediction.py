"""What the benchmark of encrypted prediction makes and starts."""

import os
from pathlib import Path

import numpy as np
import pytest

from pericard_cloud.prediction.training import datasets
from pericard_cloud.prediction.training.fit import Wanted, train
from pericard_tools.bench.concrete import concrete_ml
from pericard_tools.bench.prediction import with_every_leaf
from pericard_tools.bench.prediction_cluster import cluster
from pericard_tools.bench.shape import BenchFailed


def test_full_trees_answer_as_those_that_were_trained() -> None:
    trained = train(datasets.table("wine"), Wanted("wine", trees=4, depth=4))
    published, full = trained.published, with_every_leaf(trained.published, 5)
    assert (np.bincount(full.model.tree) == 32).all()  # type: ignore[union-attr]
    bits = np.random.default_rng(1).integers(0, 2, (50, published.manifest.inputs)).astype(np.uint8)
    assert (full.model.reached(bits).sum(axis=1) == len(full.model.group)).all()  # type: ignore[union-attr]
    assert np.array_equal(full.model.sums(bits), published.model.sums(bits))


@pytest.mark.slow
def test_a_cluster_computes_in_processes_of_its_own() -> None:
    with cluster(2) as executor:
        pids = {executor.submit(os.getpid).result(60) for _ in range(20)}
        assert os.getpid() not in pids
        # The workers are the only children that dask has here beside the scheduler.
        assert 1 <= len(pids) <= 2
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()


def test_a_peer_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path / ".venv"))
    found, why, versions = concrete_ml({"20x3": (20, 3)})
    assert (found, versions) == ({}, {"concrete-ml": None})
    assert "tools/concrete-ml" in why


@pytest.mark.parametrize("printed", ["", "[]", '{"ms": {"20x3": "x"}, "version": "1"}', '{"ms": {}}'])
def test_a_peer_that_prints_no_report_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str
) -> None:
    python = tmp_path / ".envs" / "concrete-ml" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho '{printed}'\n")
    python.chmod(0o700)
    monkeypatch.setattr("sys.prefix", str(tmp_path / ".venv"))
    with pytest.raises(BenchFailed, match="no report"):
        concrete_ml({"20x3": (20, 3)})


def test_a_peers_report_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / ".envs" / "concrete-ml" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("""#!/bin/sh\necho '{"ms": {"20x3": 26000}, "version": "1.9.0"}'\n""")
    python.chmod(0o700)
    monkeypatch.setattr("sys.prefix", str(tmp_path / ".venv"))
    found, _, versions = concrete_ml({"20x3": (20, 3)})
    assert (found, versions) == ({"20x3": 26000.0}, {"concrete-ml": "1.9.0"})
