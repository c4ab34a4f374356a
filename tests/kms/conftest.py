"""A KMS for each test, in this process or as one of its own, and the clock that it reads."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.parts.kms import KmsProcess, Reopen, SetClock, StartKms, VaultClient

from pericard_kms.storage.journal import JournaledDatabase
from pericard_protocol.uplink.suites import SUITES, KemSuite


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def reopen(tmp_path: Path, clock: SetClock) -> Iterator[Reopen]:
    """Makes a KMS, or opens the same one again as after a restart; unsealed, transit mounted."""
    state: dict[str, Any] = {}

    def again(*, closed: bool = False, suites: Mapping[int, KemSuite] = SUITES) -> VaultClient:
        if "database" in state and not closed:
            state["database"].close()
        state["database"] = JournaledDatabase(tmp_path / "kms", sync=False)
        client = VaultClient(state["database"], clock, suites)
        if "keys" not in state:
            status, made = client("PUT", "sys/init", {"secret_shares": 3, "secret_threshold": 2})
            assert status == 200
            state["keys"], state["token"] = made["keys"], made["root_token"]
        client.token, client.shares = state["token"], state["keys"]
        for key in state["keys"][:2]:
            status, answer = client("PUT", "sys/unseal", {"key": key})
            assert status == 200, answer
        if "transit/" not in client.ok("GET", "sys/mounts"):
            client.ok("POST", "sys/mounts/transit", {"type": "transit"})
        return client

    (tmp_path / "kms").mkdir()
    yield again
    if "database" in state:
        state["database"].close()


@pytest.fixture
def kms(reopen: Reopen) -> VaultClient:
    return reopen()


@pytest.fixture
def start() -> Iterator[StartKms]:
    """Starts processes that end with the test."""
    running: list[KmsProcess] = []

    def one(data: Path | None, *options: str, secure: bool = False) -> KmsProcess:
        running.append(KmsProcess(data, *options, secure=secure))
        return running[-1]

    yield one
    for process in running:
        process.stop()


@pytest.fixture
def process(tmp_path: Path, start: StartKms) -> KmsProcess:
    return start(tmp_path / "served")
