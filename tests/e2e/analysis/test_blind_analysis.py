"""The blind analysis by real parts: a real cloud process, real TLS, real FHE; and clouds that lie or fail."""

import json
import os
import struct
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.parts.certificates import CertificateAuthority
from tests.parts.cloud import CloudProcess

from pericard_protocol.fhe.parameters import MOMENTS
from pericard_protocol.proto import statistics_pb2 as messages
from pericard_server.analysis import BlindAnalysis, Encoding, Report, encryption, validation
from pericard_server.analysis.cloud_link import CloudLink
from pericard_server.analysis.errors import CloudMisbehaved, CloudUnavailable, UnusableReadings, WrongResult

pytestmark = pytest.mark.timeout(180)

Series = npt.NDArray[np.float64] | list[float]


@pytest.fixture
def analysis(fhe_keys: Any, link: CloudLink, executor: Any) -> BlindAnalysis:
    return BlindAnalysis(fhe_keys, link, executor)


def _readings(count: int) -> Any:
    return np.random.default_rng(count).uniform(20, 250, count)


def _agrees(report: Report, readings: dict[str, Any]) -> None:
    """Invariant: counts are exact, means and deviations numpy's, to far below what a clinician could see."""
    assert [patient.patient for patient in report.patients] == list(readings)
    for patient, values in zip(report.patients, readings.values(), strict=True):
        assert patient.fhe.count == len(values)
        if len(values) == 0:
            assert (patient.fhe.mean, patient.fhe.standard_deviation) == (None, None)
        else:
            assert patient.fhe.mean == pytest.approx(np.mean(values), rel=0, abs=1e-6)
            assert patient.fhe.variance == pytest.approx(np.var(values), rel=0, abs=1e-3)


@pytest.mark.parametrize("count", [0, 1, 2, 4095, 4096, 4097, 20_000])
def test_one_patient(analysis: BlindAnalysis, count: int) -> None:
    readings = {"patient": _readings(count)}
    report = analysis.analyse(readings)
    _agrees(report, readings)
    assert report.ciphertexts == -(-count // MOMENTS.slots)
    assert report.bytes_up == pytest.approx(262257 * report.ciphertexts, abs=200 * (report.ciphertexts + 1))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.lists(st.floats(20, 250), max_size=50), max_size=30))
def test_any_ward(analysis: BlindAnalysis, ward: list[list[float]]) -> None:
    readings = {str(number): np.array(values) for number, values in enumerate(ward)}
    _agrees(analysis.analyse(readings), readings)


def test_a_ward_of_unequal_patients_takes_few_ciphertexts(analysis: BlindAnalysis) -> None:
    sizes = [1, 0, 20_000, 3, 7_000, 1_000]
    readings = {str(number): _readings(size) for number, size in enumerate(sizes)}
    report = analysis.analyse(readings)
    _agrees(report, readings)
    assert report.ciphertexts == -(-sum(sizes) // MOMENTS.slots)


def test_more_patients_than_slots_take_two_jobs(analysis: BlindAnalysis) -> None:
    readings = {str(number): np.array([60.0 + number % 9]) for number in range(MOMENTS.slots + 10)}
    report = analysis.analyse(readings)
    _agrees(report, readings)
    assert report.checked_slots == 2 * 2 * MOMENTS.slots


def test_the_same_reading_again_and_again_has_no_deviation(analysis: BlindAnalysis) -> None:
    (patient,) = analysis.analyse({"patient": np.full(5000, 61.3)}).patients
    assert patient.fhe.standard_deviation == pytest.approx(0, abs=5e-3)


def test_two_vitals_are_related(analysis: BlindAnalysis) -> None:
    rng = np.random.default_rng(5)
    rate = rng.uniform(40, 180, 9000)
    breaths = Encoding(centre=16, half_range=64)
    pairs: dict[str, tuple[Series, Series]] = {
        "together": (rate, rate / 5 + rng.normal(0, 2, 9000)),
        "opposed": (rate[:50], 60 - rate[:50] / 4),
        "apart": (rate, rng.uniform(5, 40, 9000)),
        "nothing": ([], []),
        "constant": ([60.0, 61.0], [15.0, 15.0]),
    }
    report = analysis.relate(pairs, breaths)
    for patient, (x, y) in zip(report.patients, pairs.values(), strict=True):
        assert patient.fhe.count == len(x)
        if patient.patient in ("nothing", "constant"):
            assert (patient.fhe.correlation, patient.fhe.slope) == (None, None)
        else:
            assert patient.fhe.covariance == pytest.approx(np.cov(x, y, ddof=0)[0, 1], abs=1e-3)
            assert patient.fhe.correlation == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
            assert patient.fhe.slope == pytest.approx(np.polyfit(y, x, 1)[0], abs=1e-5)


def test_a_trend_is_found(analysis: BlindAnalysis) -> None:
    hours = np.linspace(0, 24, 2000)
    rate = 60 + 1.5 * hours + np.random.default_rng(6).normal(0, 5, 2000)
    (patient,) = analysis.relate({"p": (rate, hours)}, Encoding.spanning(0, 24)).patients
    assert patient.fhe.slope == pytest.approx(np.polyfit(hours, rate, 1)[0], abs=1e-6)
    assert patient.fhe.slope == pytest.approx(1.5, abs=0.1)


def test_pairs_must_be_pairs(analysis: BlindAnalysis) -> None:
    with pytest.raises(UnusableReadings, match="p: 2 of x and 1 of y"):
        analysis.relate({"p": ([60.0, 61.0], [1.0])}, Encoding.spanning(0, 24))


def test_unusable_readings_name_their_patient(analysis: BlindAnalysis) -> None:
    with pytest.raises(UnusableReadings, match="second: readings outside -181 to 331"):
        analysis.analyse({"first": [60.0], "second": [60.0, 400.0]})


def test_a_report_is_all_there_as_a_dictionary(analysis: BlindAnalysis) -> None:
    shown = asdict(analysis.analyse({"p": [60.0, 70.0]}))
    (patient,) = shown["patients"]
    assert patient["clear"] == {"count": 2, "mean": 65.0, "variance": 25.0, "standard_deviation": 5.0}
    assert patient["fhe"]["standard_deviation"] == pytest.approx(5.0)
    assert patient["mean_difference"] == patient["fhe"]["mean"] - 65.0
    assert (shown["readings"], shown["ciphertexts"], shown["checked_slots"]) == (2, 1, 8192)
    json.dumps(shown)


def test_the_key_is_sent_once(analysis: BlindAnalysis) -> None:
    assert [analysis.analyse({"a": [60.0]}).key_bytes for _ in range(3)] == [786722, 0, 0]


def test_and_again_to_a_cloud_that_lost_it(
    fhe_keys: Any, start_cloud: Any, authority: CertificateAuthority, executor: Any
) -> None:
    cloud = start_cloud(workers=1, keys_per_client=1)
    with CloudLink(cloud.address, authority.issue("hospital.test"), "cloud.test", timeout=60) as link:
        analysis = BlindAnalysis(fhe_keys, link, executor)
        analysis.analyse({"a": [60.0]})
        other = bytearray(fhe_keys.relinearisation)
        other[-1] ^= 1
        link.put_key(type(fhe_keys)(MOMENTS, b"", b"", bytes(other)))
        assert analysis.analyse({"a": [60.0]}).key_bytes == 786722


def _alter(result: Any, **ciphertexts: bytes) -> Any:
    altered = messages.JobResult.FromString(result.SerializeToString())
    for part in altered.results:
        part.ciphertext = ciphertexts.get(part.name, part.ciphertext)
    return altered


def _swapped(result: Any) -> Any:
    total, squares = (part.ciphertext for part in result.results)
    return _alter(result, sum=squares, sum_of_squares=total)


def _scaled(result: Any) -> Any:
    """A scale that is still a likely one, yet 2^-21 off: every value moves by that."""
    total = bytearray(result.results[0].ciphertext)
    total[73:81] = struct.pack("<d", MOMENTS.scale * (1 + 2**-21))
    return _alter(result, sum=bytes(total))


def _with(place: slice, change: bytes) -> Any:
    def lie(result: Any) -> Any:
        total = bytearray(result.results[0].ciphertext)
        total[place] = change
        return _alter(result, sum=bytes(total))

    return lie


LIES = {
    "sums swapped": _swapped,
    "a scaled result": _scaled,
    "a wild scale": _with(slice(73, 81), struct.pack("<d", 1.0)),
    "one coefficient changed": _with(slice(500, 502), b"\1\2"),
    "zeros": _with(slice(113, None), bytes(131072)),
    "truncated": lambda result: _alter(result, sum=result.results[0].ciphertext[:-1]),
    "empty": lambda result: _alter(result, sum=b""),
    "junk": lambda result: _alter(result, sum_of_squares=os.urandom(131185)),
    "junk inside": _with(slice(113, None), os.urandom(131072)),
    "far longer": lambda result: _alter(result, sum=result.results[0].ciphertext * 3),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_no_value(lie: str, liar: Any, fhe_keys: Any, executor: Any) -> None:
    """Invariant: a wrong result raises WrongResult, the cloud hears nothing of it, and the next job works."""
    lying, link = liar
    analysis = BlindAnalysis(fhe_keys, link, executor)
    readings = {"a": _readings(5000), "b": _readings(10)}
    lying.lie = LIES[lie]
    with pytest.raises(WrongResult) as caught:
        analysis.analyse(readings)
    assert caught.value.reason == "wrong result"
    assert lying.calls == [
        f"/pericard.protocol.statistics.v1.BlindStatistics/{m}" for m in ("PutKey", "Compute")
    ]
    lying.lie = lambda result: result
    _agrees(analysis.analyse(readings), readings)


def test_an_earlier_honest_result_is_no_value(liar: Any, fhe_keys: Any, executor: Any) -> None:
    """A replay: right shape, right key, right cloud, other readings."""
    lying, link = liar
    kept: list[Any] = []

    def keep(result: messages.JobResult) -> messages.JobResult:
        kept.append(result)
        return result

    lying.lie = keep
    analysis = BlindAnalysis(fhe_keys, link, executor)
    analysis.analyse({"a": [60.0, 70.0]})
    lying.lie = lambda result: kept[0]
    with pytest.raises(WrongResult):
        analysis.analyse({"a": [60.0, 71.0]})


def test_a_result_without_its_parts_is_refused(liar: Any, fhe_keys: Any, executor: Any) -> None:
    lying, link = liar
    for lie in (
        lambda result: messages.JobResult(results=result.results[:1]),
        lambda result: messages.JobResult(results=result.results, compute_ms=float("nan")),
    ):
        lying.lie = lie
        with pytest.raises(CloudMisbehaved, match="has not the results"):
            BlindAnalysis(fhe_keys, link, executor).analyse({"a": [60.0]})


def test_no_cloud_is_said(authority: CertificateAuthority, fhe_keys: Any, executor: Any) -> None:
    link = CloudLink("127.0.0.1:1", authority.issue("hospital.test"), "cloud.test", timeout=60)
    with link, pytest.raises(CloudUnavailable, match="check address and certificates"):
        BlindAnalysis(fhe_keys, link, executor).analyse({"a": [60.0]})


def test_a_cloud_with_a_wrong_certificate_gets_nothing(
    cloud: CloudProcess, authority: CertificateAuthority, fhe_keys: Any, executor: Any
) -> None:
    link = CloudLink(cloud.address, authority.issue("hospital.test"), "impostor.test", timeout=60)
    with link, pytest.raises(CloudUnavailable):
        BlindAnalysis(fhe_keys, link, executor).analyse({"a": [60.0]})


@pytest.mark.slow
def test_what_crosses_is_sealed(liar: Any, cloud: CloudProcess, fhe_keys: Any, executor: Any) -> None:
    """No reading, encoded or not, and no piece of the secret key is in a message or the cloud's memory."""
    lying, link = liar
    readings = np.full(300, 123.456789)
    (patient,) = BlindAnalysis(fhe_keys, link, executor).analyse({"marker-patient": readings}).patients
    assert patient.fhe.mean == pytest.approx(123.456789)
    planted = [
        b"marker-patient",
        b"123.456",
        struct.pack("<d", 123.456789),
        struct.pack("<d", (123.456789 - 75) / 256),
        fhe_keys.secret[200:232],
        fhe_keys.secret[-32:],
    ]
    traffic = b"".join(lying.seen)
    assert fhe_keys.relinearisation[1000:1032] in traffic  # the search finds what does cross
    assert not [marker for marker in planted if marker in traffic]
    pids = [cloud.process.pid, *cloud.workers()]
    assert len(pids) > 1
    memory = [_memory(pid) for pid in pids]
    assert any(fhe_keys.relinearisation[1000:1032] in one for one in memory)
    assert not [marker for marker in planted for one in memory if marker in one]
    log = "".join(cloud.log)
    assert not [marker for marker in ("marker-patient", "123.456") if marker in log]


def _memory(pid: int) -> bytes:
    """All that a process can write to: its heap, stacks and private mappings."""
    held = []
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, access, *_ = line.split()
            start, end = (int(part, 16) for part in span.split("-"))
            if access.startswith("rw"):
                memory.seek(start)
                held.append(memory.read(end - start))
    return b"".join(held)


@pytest.mark.parametrize("packs", [1, 16])
def test_noise_is_what_the_tolerance_argues(
    packs: int, link: CloudLink, fhe_keys: Any, executor: Any
) -> None:
    """With every |z| at its largest, the measured deviation is the derived one, so a tolerance is 20 of them.

    For squares z^2 the derivation takes all noise at |z| = sqrt(2), which is exact here.
    """
    clear = np.full((packs, MOMENTS.slots), 1 + 1j)
    link.put_key(fhe_keys)
    answer = link.compute(
        fhe_keys, executor.submit(encryption.encrypt, MOMENTS.name, fhe_keys.public, clear.tobytes()).result()
    )
    opened = executor.submit(
        encryption.decrypt, MOMENTS.name, fhe_keys.public, fhe_keys.secret, (answer.total, answer.squares)
    ).result()
    allowed = validation.tolerance(MOMENTS, packs)
    for data, exact, limit in (
        (opened[0], clear.sum(axis=0), allowed.total),
        (opened[1], (clear**2).sum(axis=0), allowed.squares),
    ):
        deviation = np.sqrt(np.mean(np.abs(np.frombuffer(data, np.complex128) - exact) ** 2))
        assert deviation == pytest.approx(limit / 20, rel=0.1)
