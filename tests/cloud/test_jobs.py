"""A job from hostile parts. Invariant: PeerError, and no worker is ever called; or every check has passed."""

from concurrent.futures import Executor
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_cloud.errors import NoSuchKey
from pericard_cloud.statistics.jobs import Job
from pericard_cloud.statistics.keys import KeyStore
from pericard_protocol.errors import PeerError
from pericard_protocol.fhe.parameters import MOMENTS
from pericard_protocol.proto import statistics_pb2 as messages

FINGERPRINT = bytes(32)


class _Untouched(Executor):
    def submit(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a worker was called")


class _AnyKey(KeyStore):
    """Holds one key, of owner "h", without its 0.8 MB."""

    def get(self, owner: str, parameters: Any, fingerprint: bytes) -> bytes:
        if (owner, fingerprint) != ("h", FINGERPRINT):
            raise NoSuchKey("no such key")
        return b""


def _often(right: Any, other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just(right) | other


JOBS = st.builds(
    messages.Job,
    job_id=_often(bytes(16), st.binary(max_size=40)),
    parameters=_often(MOMENTS.name, st.text(max_size=40)),
    key_fingerprint=_often(FINGERPRINT, st.binary(max_size=40)),
    statistic=_often("moments", st.text(max_size=40)),
    ciphertexts=_often(2, st.integers(0, 2**32 - 1)),
)


@given(JOBS, st.lists(st.binary(max_size=300), max_size=4))
def test_junk_never_reaches_a_worker(description: Any, ciphertexts: list[bytes]) -> None:
    with pytest.raises(PeerError):
        list(Job("h", description, _AnyKey(1)).run(iter(ciphertexts), _Untouched()))


@given(JOBS)
def test_what_passes_is_within_all_bounds(description: Any) -> None:
    try:
        job = Job("h", description, _AnyKey(1))
    except PeerError:
        return
    assert job.parameters is MOMENTS
    assert 1 <= job.ciphertexts <= MOMENTS.max_packs
    assert len(description.job_id) == 16
    assert description.key_fingerprint == FINGERPRINT


def test_a_right_description_passes() -> None:
    right = messages.Job(
        job_id=bytes(16),
        parameters=MOMENTS.name,
        key_fingerprint=FINGERPRINT,
        statistic="moments",
        ciphertexts=2,
    )
    assert Job("h", right, _AnyKey(1)).ciphertexts == 2
    with pytest.raises(NoSuchKey):
        Job("another", right, _AnyKey(1))
