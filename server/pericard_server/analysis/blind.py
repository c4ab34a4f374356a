"""The blind analysis from readings to a validated report: encode, encrypt, send, decrypt, check."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pericard_protocol.confined import WorkerFailed
from pericard_server.analysis import packing, seal, validation
from pericard_server.analysis.cloud_link import Answer, CloudLink, UnknownKey
from pericard_server.analysis.errors import WrongResult
from pericard_server.analysis.keys import FheKeys
from pericard_server.analysis.packing import Complexes, Encoding, Floats
from pericard_server.analysis.report import Moments, PatientStatistics, Report

_PACKS_AT_ONCE = 16  # to one worker: 1 MB of readings there, 4 MB of ciphertexts back


@dataclass
class _Cost:
    """What the stages of an analysis add up to."""

    ciphertexts: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    key_bytes: int = 0
    encrypt_ms: float = 0.0
    cloud_ms: float = 0.0
    compute_ms: float = 0.0
    decrypt_ms: float = 0.0
    validate_ms: float = 0.0


class BlindAnalysis:
    """Analyses readings with one key set through one cloud. Safe to use from many threads."""

    def __init__(
        self,
        keys: FheKeys,
        link: CloudLink,
        executor: Executor,
        encoding: Encoding = packing.HEART_RATE_BPM,
    ) -> None:
        """`executor` runs SEAL: a `ConfinedExecutor`, for the cloud's bytes are parsed there."""
        self._keys = keys
        self._link = link
        self._executor = executor
        self._encoding = encoding
        self._key_sent = False
        self._sending = threading.Lock()

    def analyse(self, readings: Mapping[str, npt.ArrayLike]) -> Report:
        """Count, mean and variance for every patient.

        Args:
            readings: by patient, float64[n] in the encoding's unit; n may be 0.

        Raises:
            UnusableReadings: some cannot be encoded.
            WrongResult: the cloud's result is wrong. None of it is returned, nor is the cloud told.
            CloudMisbehaved, CloudUnavailable: there is no result.
        """
        clear = {patient: np.asarray(values, np.float64) for patient, values in readings.items()}
        encoded = [self._encoding.encode(values) for values in clear.values()]
        parameters = self._keys.parameters
        jobs = packing.pack(encoded, parameters.slots, parameters.max_packs)
        cost = _Cost()
        sums = np.zeros((len(encoded), 3))  # count, sum v, sum v^2
        for job in jobs:
            total, squares = self._run(job.packs, cost)
            for index, columns in job.columns:
                count = total[columns].imag.sum()
                sums[index] += count, total[columns].real.sum(), squares[columns].real.sum() + count
        allowed = validation.tolerance(parameters, max((len(job.packs) for job in jobs), default=1))
        mean_tolerance = self._encoding.half_range * allowed.mean
        variance_tolerance = self._encoding.variance(allowed.variance)
        patients = tuple(
            PatientStatistics(patient, fhe=self._moments(row), clear=_moments(values))
            for (patient, values), row in zip(clear.items(), sums, strict=True)
        )
        for patient in patients:
            validation.check_patient(patient.fhe, patient.clear, mean_tolerance, variance_tolerance)
        return Report(
            patients=patients,
            mean_tolerance=mean_tolerance,
            variance_tolerance=variance_tolerance,
            checked_slots=2 * parameters.slots * len(jobs),
            readings=sum(map(len, encoded)),
            **vars(cost),
        )

    def _run(self, packs: Complexes, cost: _Cost) -> tuple[Complexes, Complexes]:
        """One job: packs, complex128[packs, slots], to its checked sums, complex128[slots] each."""
        name = self._keys.parameters.name
        start = time.perf_counter()
        shards = [
            self._executor.submit(
                seal.encrypt, name, self._keys.public, packs[at : at + _PACKS_AT_ONCE].tobytes()
            )
            for at in range(0, len(packs), _PACKS_AT_ONCE)
        ]
        ciphertexts = [ciphertext for shard in shards for ciphertext in shard.result()]
        start = _lap(cost, "encrypt_ms", start)
        answer = self._compute(ciphertexts, cost)
        start = _lap(cost, "cloud_ms", start)
        total, squares = self._decrypt(answer)
        start = _lap(cost, "decrypt_ms", start)
        validation.check(packs, total, squares, validation.tolerance(self._keys.parameters, len(packs)))
        _lap(cost, "validate_ms", start)
        cost.ciphertexts += len(ciphertexts)
        cost.bytes_up += answer.bytes_up
        cost.bytes_down += answer.bytes_down
        cost.compute_ms += answer.compute_ms
        return total, squares

    def _compute(self, ciphertexts: list[bytes], cost: _Cost) -> Answer:
        """Sends a job; the evaluation key first, when the cloud has it not (or, restarted, no longer)."""
        with self._sending:
            if not self._key_sent:
                cost.key_bytes += self._link.put_key(self._keys)
                self._key_sent = True
        try:
            return self._link.compute(self._keys, ciphertexts)
        except UnknownKey:
            cost.key_bytes += self._link.put_key(self._keys)
            return self._link.compute(self._keys, ciphertexts)

    def _decrypt(self, answer: Answer) -> tuple[Complexes, Complexes]:
        keys = self._keys
        decrypted = self._executor.submit(
            seal.decrypt, keys.parameters.name, keys.public, keys.secret, (answer.total, answer.squares)
        )
        try:
            total, squares = (np.frombuffer(part, np.complex128) for part in decrypted.result())
        except WorkerFailed as error:
            raise WrongResult(f"the cloud's result cannot be decrypted: {error}") from None
        return total, squares

    def _moments(self, sums: Floats) -> Moments:
        """From count, sum v and sum v^2 as decrypted, in the readings' unit."""
        count = round(sums[0])
        if count == 0:
            return Moments(0, None, None)
        mean, square = sums[1] / count, sums[2] / count
        return Moments(
            count,
            mean=float(self._encoding.mean(mean)),
            variance=float(self._encoding.variance(max(0.0, square - mean**2))),  # noise can put 0 below 0
        )


def _moments(values: Floats) -> Moments:
    """In the clear, by numpy's two passes over the readings themselves."""
    if len(values) == 0:
        return Moments(0, None, None)
    return Moments(len(values), mean=float(values.mean()), variance=float(values.var()))


def _lap(cost: _Cost, stage: str, start: float) -> float:
    """Adds the time since `start` to a stage; returns now."""
    now = time.perf_counter()
    setattr(cost, stage, getattr(cost, stage) + (now - start) * 1e3)
    return now
