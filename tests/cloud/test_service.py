"""The cloud as a process over real mutual TLS: what it computes, and all that it refuses and survives."""

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.parts.certificates import CertificateAuthority
from tests.parts.cloud import CloudProcess

from pericard_protocol.fhe.objects import check_ciphertext
from pericard_protocol.fhe.parameters import MOMENTS

pytestmark = pytest.mark.timeout(120)


def _refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


@contextmanager
def _counted(cloud: CloudProcess, reason: str) -> Iterator[None]:
    """One refusal, under this reason and no other, is in the cloud's log at the end of the block."""
    expected = cloud.refusals()
    expected[reason] = expected.get(reason, 0) + 1
    yield
    assert cloud.wait_for(lambda: cloud.refusals() == expected), cloud.refusals()


@pytest.fixture(scope="module", autouse=True)
def _key(client: Any, sealed: Any) -> None:
    assert client.put_key(sealed.key_parts()) == sealed.fingerprint


def _works(client: Any, sealed: Any) -> Any:
    *progress, last = client.compute([sealed.job(), *sealed.parts()])
    assert [event.progress.done for event in progress] == [16, 20]
    assert [part.name for part in last.result.results] == ["sum", "sum_of_squares"]
    return last.result


def test_sums_and_sums_of_squares_are_right(client: Any, sealed: Any) -> None:
    result = _works(client, sealed)
    total, squares = (sealed.open(part.ciphertext) for part in result.results)
    assert np.abs(total - sealed.values.sum(axis=0)).max() < 1e-9
    assert np.abs(squares - (sealed.values**2).sum(axis=0)).max() < 1e-8
    assert result.compute_ms > 0


def test_results_come_at_the_smallest_level(client: Any, sealed: Any) -> None:
    for part in _works(client, sealed).results:
        check_ciphertext(part.ciphertext, MOMENTS, primes=1)


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


# What a client sends, the code it gets, and the reason under which it is counted.
REFUSED_JOBS: dict[str, tuple[Callable[[Any], list[bytes]], str, str]] = {
    "nothing": (lambda s: [], "sequence", "begins with its description"),
    "no description": (lambda s: s.parts(), "sequence", "begins with its description"),
    "two descriptions": (lambda s: [s.job(), s.job()], "sequence", "come its ciphertexts"),
    "too few ciphertexts": (lambda s: [s.job(), *s.parts()[:3]], "sequence", "ended after 3 of 20"),
    "too many ciphertexts": (lambda s: [s.job(ciphertexts=2), *s.parts()], "sequence", "more than the 2"),
    "no ciphertexts": (lambda s: [s.job(ciphertexts=0)], "malformed", "1 to 512"),
    "a job too large": (lambda s: [s.job(ciphertexts=513)], "malformed", "1 to 512"),
    "a short job id": (lambda s: [s.job(job_id=b"1")], "malformed", "16 bytes"),
    "an unknown statistic": (lambda s: [s.job(statistic="median")], "malformed", "no such statistic"),
    "unknown parameters": (lambda s: [s.job(parameters="weak")], "parameters", "no such FHE parameters"),
    "an unknown key": (lambda s: [s.job(key_fingerprint=bytes(32))], "unknown key", "send it with PutKey"),
    "a truncated message": (lambda s: [s.job()[:-5]], "malformed", "cut short"),
    "junk for a message": (lambda s: [b"\xff" * 100], "malformed", "cut short"),
    "a truncated part": (lambda s: [s.job(), s.parts()[0][:-1]], "malformed", "cut short"),
    "a truncated ciphertext": (
        lambda s: [s.job(), *s.parts([s.ciphertexts[0][:-1]])],
        "shape",
        "length in bytes",
    ),
    "junk for a ciphertext": (lambda s: [s.job(), *s.parts([os.urandom(262257)])], "shape", "magic"),
    "a ciphertext that claims to be huge": (
        lambda s: [s.job(), *s.parts([_flipped(s.ciphertexts[0], 111)])],
        "shape",
        "number of coefficients",
    ),
    "a secret key for a ciphertext": (lambda s: [s.job(), *s.parts([s.secret])], "shape", "length in bytes"),
    "a ciphertext of other primes": (
        lambda s: [s.job(ciphertexts=1), *s.parts([_flipped(s.ciphertexts[0], 20)])],
        "worker",
        "",
    ),
    "coefficients above their prime": (
        lambda s: [s.job(ciphertexts=1), *s.parts([s.ciphertexts[0][:200] + b"\xff" * (262257 - 200)])],
        "worker",
        "",
    ),
}


@pytest.mark.parametrize("what", REFUSED_JOBS)
def test_a_bad_job_is_refused_counted_and_the_next_one_works(
    what: str, client: Any, cloud: CloudProcess, sealed: Any
) -> None:
    parts, reason, word = REFUSED_JOBS[what]
    with _counted(cloud, reason):
        code, details = _refused(lambda: client.compute(parts(sealed)))
    expected = {"unknown key": grpc.StatusCode.FAILED_PRECONDITION, "worker": grpc.StatusCode.ABORTED}
    assert code == expected.get(reason, grpc.StatusCode.INVALID_ARGUMENT)
    assert word in details
    _works(client, sealed)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (lambda s: [], "sequence"),
        (lambda s: s.key_parts()[1:], "sequence"),
        (lambda s: [s.key_parts()[0]] * 2, "sequence"),
        (lambda s: s.key_parts()[:-1], "shape"),
        (lambda s: s.key_parts(s.key + bytes(1)), "shape"),
        (lambda s: s.key_parts(_flipped(s.key, 48)), "shape"),
        (lambda s: s.key_parts(s.secret), "shape"),
        (lambda s: s.key_parts(parameters="weak"), "parameters"),
        (lambda s: [s.key_parts()[0][:-1]], "malformed"),
    ],
)
def test_a_bad_key_is_refused_and_counted(
    parts: Callable[[Any], list[bytes]], reason: str, client: Any, cloud: CloudProcess, sealed: Any
) -> None:
    with _counted(cloud, reason):
        assert _refused(lambda: client.put_key(parts(sealed)))[0] == grpc.StatusCode.INVALID_ARGUMENT
    _works(client, sealed)


def test_a_message_above_the_bound_is_refused(client: Any, sealed: Any) -> None:
    code, _ = _refused(lambda: client.compute([sealed.job(), *sealed.parts([bytes(2 << 20)])]))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    _works(client, sealed)


@pytest.mark.parametrize("timeout", [None, 3600.0])
def test_a_call_without_a_near_deadline_is_refused(client: Any, sealed: Any, timeout: float | None) -> None:
    code, details = _refused(lambda: client.compute([sealed.job()], timeout))
    assert (code, "deadline" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_a_key_is_its_owners_alone(connect: Any, cloud: CloudProcess, sealed: Any) -> None:
    other = connect(cloud, "other-hospital.test")
    code, _ = _refused(lambda: other.compute([sealed.job(), *sealed.parts()]))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    other.put_key(sealed.key_parts())
    _works(other, sealed)


def test_the_key_unused_for_longest_makes_room(start_cloud: Any, connect: Any, sealed: Any) -> None:
    cloud = start_cloud(workers=1, keys_per_client=2)
    client = connect(cloud)
    client.put_key(sealed.key_parts())
    others = [_flipped(sealed.key, place) for place in (1000, 2000)]  # well shaped; never used
    client.put_key(sealed.key_parts(others[0]))
    _works(client, sealed)
    client.put_key(sealed.key_parts(others[1]))
    _works(client, sealed)
    for key in (*others, others[0]):
        client.put_key(sealed.key_parts(key))
    assert _refused(lambda: client.compute([sealed.job()]))[0] == grpc.StatusCode.FAILED_PRECONDITION


def test_strangers_are_refused(
    connect: Any, cloud: CloudProcess, authority: CertificateAuthority, other_authority: CertificateAuthority
) -> None:
    with _counted(cloud, "peer"):
        code, details = _refused(lambda: connect(cloud, "nobody.test").compute([]))
    assert (code, "not among the allowed" in details) == (grpc.StatusCode.PERMISSION_DENIED, True)
    forged = replace(
        other_authority.issue("hospital.test"), authorities=authority.issue("x.test").authorities
    )
    code, _ = _refused(lambda: connect(cloud, identity=forged).compute([]))
    assert code == grpc.StatusCode.UNAVAILABLE


def test_a_worker_killed_in_a_job_fails_that_job_only(start_cloud: Any, connect: Any, sealed: Any) -> None:
    cloud = start_cloud(workers=1)
    client = connect(cloud)
    client.put_key(sealed.key_parts())
    _works(client, sealed)
    (worker,) = cloud.workers()
    os.kill(worker, signal.SIGSTOP)  # it cannot finish before it is killed

    def parts() -> Any:
        yield sealed.job()
        yield from sealed.parts()
        os.kill(worker, signal.SIGKILL)

    code, details = _refused(lambda: client.compute(parts()))
    assert (code, "SIGKILL" in details) == (grpc.StatusCode.ABORTED, True)
    _works(client, sealed)
    assert cloud.wait_for(lambda: cloud.refusals() == {"worker": 1})


@pytest.mark.slow
def test_a_worker_that_hangs_fails_its_job_in_time(start_cloud: Any, connect: Any, sealed: Any) -> None:
    cloud = start_cloud(workers=1, worker_seconds=10.0)
    client = connect(cloud)
    client.put_key(sealed.key_parts())
    _works(client, sealed)
    (worker,) = cloud.workers()
    os.kill(worker, signal.SIGSTOP)
    code, details = _refused(lambda: client.compute([sealed.job(), *sealed.parts()]))
    assert (code, "longer than 10 seconds" in details) == (grpc.StatusCode.ABORTED, True)
    _works(client, sealed)


@pytest.mark.slow
def test_a_client_that_stalls_holds_its_place_until_its_deadline(
    start_cloud: Any, connect: Any, sealed: Any
) -> None:
    cloud = start_cloud(workers=1, calls_at_once=1)
    client = connect(cloud)
    client.put_key(sealed.key_parts())
    never = threading.Event()

    def stalled() -> Iterator[bytes]:
        yield sealed.job()
        never.wait(60)

    call = client.start(stalled(), timeout=6.0)
    code, _ = _refused(lambda: client.compute([sealed.job(), *sealed.parts()]))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert _refused(lambda: list(call))[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    never.set()
    assert cloud.wait_for(lambda: cloud.refusals() in ({"cancelled": 1}, {"sequence": 1})), cloud.log
    until = time.monotonic() + 60  # the place is free a moment after the refusal is logged
    while True:
        try:
            _works(client, sealed)
            return
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED or time.monotonic() > until:
                raise


def test_sigterm_ends_it_cleanly_and_it_has_written_nothing(
    start_cloud: Any, connect: Any, sealed: Any
) -> None:
    cloud = start_cloud(workers=1)
    files = sorted(cloud.folder.rglob("*"))
    client = connect(cloud)
    client.put_key(sealed.key_parts())
    _works(client, sealed)
    _refused(lambda: client.compute([b"junk"]))
    (worker,) = cloud.workers()
    assert sorted(cloud.folder.rglob("*")) == files
    assert cloud.stop() == 0
    assert not cloud.ready_file.exists()
    assert not Path(f"/proc/{worker}").exists()
    last = json.loads(cloud.log[-1])
    assert (last["event"], last["refused"]) == ("stopped", {"malformed": 1})


def test_a_computing_worker_does_not_hold_up_the_stop(start_cloud: Any, connect: Any, sealed: Any) -> None:
    cloud = start_cloud(workers=1, worker_seconds=300.0)
    client = connect(cloud)
    client.put_key(sealed.key_parts())
    _works(client, sealed)
    (worker,) = cloud.workers()
    os.kill(worker, signal.SIGSTOP)  # computes for ever
    call = client.start(iter([sealed.job(), *sealed.parts()]), timeout=100.0)
    time.sleep(1.0)  # the job is with the worker: nothing outside tells
    began = time.monotonic()
    assert cloud.stop() == 0
    assert time.monotonic() - began < 11
    assert not Path(f"/proc/{worker}").exists()
    _refused(lambda: list(call))


def test_monitoring_sees_counts_and_no_names(start_cloud: Any, connect: Any, sealed: Any) -> None:
    cloud = start_cloud(workers=1)
    client = connect(cloud)
    client.put_key(sealed.key_parts())
    _works(client, sealed)
    _refused(lambda: client.compute([b"junk"]))
    assert cloud.wait_for(lambda: cloud.refusals() == {"malformed": 1})
    with urllib.request.urlopen(f"http://{cloud.pages}/metrics", timeout=5) as answer:
        shown = answer.read().decode()
    assert "pericard_cloud_jobs_total 1.0" in shown
    assert "pericard_cloud_ciphertexts_total 20.0" in shown
    assert 'pericard_cloud_refused_total{reason="malformed"} 1.0' in shown
    assert "hospital.test" not in shown
    assert _health(cloud) == (200, {"ok": True, "troubles": {}})


def _health(cloud: CloudProcess) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://{cloud.pages}/healthz", timeout=15) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.slow  # it waits until a page has given up on a worker, and more
def test_a_cloud_whose_workers_cannot_start_is_unwell_until_they_can(start_cloud: Any) -> None:
    """Its fork server hangs and its only worker is killed: every job would wait for ever."""
    cloud = start_cloud(workers=1, worker_seconds=5.0)
    assert _health(cloud) == (200, {"ok": True, "troubles": {}})  # this starts the fork server, and a worker
    (worker,) = cloud.workers()
    fork_server = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(fork_server, signal.SIGSTOP)
    try:
        os.kill(worker, signal.SIGKILL)
        _health(cloud)  # finds the worker dead; the next look needs another
        assert _eventually(lambda: _health(cloud)[0] == 503)
        told = _health(cloud)[1]
        assert (told["ok"], list(told["troubles"])) == (False, ["workers"])
        assert told["troubles"]["workers"].startswith("none has answered for")
    finally:
        os.kill(fork_server, signal.SIGCONT)
    assert _eventually(lambda: _health(cloud) == (200, {"ok": True, "troubles": {}}))


def _eventually(met: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
