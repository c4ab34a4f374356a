"""The blind analysis by real parts: a real cloud process, real TLS, real FHE; and clouds that lie."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pericard_protocol.confined import ConfinedExecutor, Limits
from pericard_server.analysis import BlindAnalysis, keys
from pericard_server.analysis.cloud_link import CloudLink


@pytest.fixture(scope="module")
def executor() -> Iterator[ConfinedExecutor]:
    with ConfinedExecutor(1, Limits()) as one:
        yield one


@pytest.fixture(scope="module")
def fhe_keys(executor: ConfinedExecutor) -> keys.FheKeys:
    return keys.generate(executor)


@pytest.fixture
def link(cloud: Any, authority: Any) -> Iterator[CloudLink]:
    with CloudLink(cloud.address, authority.issue("hospital.test"), "cloud.test", timeout=60) as one:
        yield one


@pytest.fixture
def analysis(fhe_keys: keys.FheKeys, link: CloudLink, executor: ConfinedExecutor) -> BlindAnalysis:
    return BlindAnalysis(fhe_keys, link, executor)


def _readings(count: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).uniform(20, 250, count)


@pytest.mark.parametrize("count", [1, 2, 4095, 4096, 4097, 20_000])
def test_one_patient(analysis: BlindAnalysis, count: int) -> None:
    readings = _readings(count)
    report = analysis.analyse({"patient": readings})
    print(report)
    (patient,) = report.patients
    assert patient.fhe.count == count
    assert patient.fhe.mean == pytest.approx(readings.mean(), abs=1e-5)
    assert patient.fhe.variance == pytest.approx(readings.var(), abs=1e-3)
