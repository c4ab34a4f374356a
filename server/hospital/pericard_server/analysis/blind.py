"""The blind analysis from readings to a validated report: encode, encrypt, send, decrypt, check."""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from pericard_edge.confined import WorkerFailed
from pericard_server.analysis import encryption, packing, statistics, validation
from pericard_server.analysis.cloud_link import CloudLink, EncryptedSums
from pericard_server.analysis.errors import KeyNotAtCloud, UnusableReadings, WrongResult
from pericard_server.analysis.packing import Complexes, Encoding, Floats
from pericard_server.analysis.report import PatientRelation, PatientStatistics, RelationReport, Report, Work
from pericard_server.analysis.statistics import Sums
from pericard_server.custody.fhe import FheKeys

_PACKS_AT_ONCE = 16  # to one worker: 1 MB of readings there, 4 MB of ciphertexts back


class BlindAnalysis:
    """Analyses readings with one key set through one cloud. Safe to use from many threads.

    Every method may raise:
        UnusableReadings: some cannot be encoded; the message names the patient.
        WrongResult: the cloud's result is wrong. None of it is returned, nor is the cloud told.
        CloudMisbehaved, CloudUnavailable: there is no result.
        PackingFault: our own calculation is wrong; there is no result.
    """

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
        """
        encoded = _encode(readings, self._encoding)
        sums, allowed, work = self._sum([_complex(values, 1.0) for values in encoded])
        mean_tolerance = self._encoding.half_range * allowed.mean
        variance_tolerance = self._encoding.variance(allowed.variance)
        patients = tuple(
            PatientStatistics(
                patient,
                fhe=statistics.moments(one, self._encoding),
                clear=statistics.clear_moments(np.asarray(values, np.float64)),
            )
            for (patient, values), one in zip(readings.items(), sums, strict=True)
        )
        for one in patients:
            validation.check_patient(
                [
                    (one.fhe.count, one.clear.count, 0),
                    (one.fhe.mean, one.clear.mean, mean_tolerance),
                    (one.fhe.variance, one.clear.variance, variance_tolerance),
                ]
            )
        return Report(
            patients=patients,
            readings=sum(map(len, encoded)),
            mean_tolerance=mean_tolerance,
            variance_tolerance=variance_tolerance,
            **vars(work),
        )

    def relate(
        self, pairs: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], other: Encoding
    ) -> RelationReport:
        """Covariance, correlation and slope of x over y for every patient.

        With another vital sign for y this says how the two move together. With the hours since some moment
        for y, and `Encoding.spanning` them, the slope is the trend of x per hour.

        Args:
            pairs: by patient, x and y of equal length: float64[n] each, n may be 0; x in our encoding's unit.
            other: y's encoding.
        """
        x = _encode({patient: pair[0] for patient, pair in pairs.items()}, self._encoding)
        y = _encode({patient: pair[1] for patient, pair in pairs.items()}, other)
        for patient, v, w in zip(pairs, x, y, strict=True):
            if len(v) != len(w):
                raise UnusableReadings(f"{patient}: {len(v)} of x and {len(w)} of y: give a y for every x")
        counted, allowed, work = self._sum([_complex(v, 1.0) for v in x])
        paired, _, more = self._sum([_complex(v, w) for v, w in zip(x, y, strict=True)])
        scale = (self._encoding, other, allowed.variance)
        covariance_tolerance = self._encoding.half_range * other.half_range * allowed.covariance
        patients = tuple(
            PatientRelation(
                patient,
                fhe=statistics.relation(one, pair, *scale),
                clear=statistics.clear_relation(v, w, *scale),
            )
            for patient, one, pair, v, w in zip(pairs, counted, paired, x, y, strict=True)
        )
        for each in patients:
            validation.check_patient(
                [
                    (each.fhe.count, each.clear.count, 0),
                    (each.fhe.covariance, each.clear.covariance, covariance_tolerance),
                ]
            )
        return RelationReport(
            patients=patients, covariance_tolerance=covariance_tolerance, **vars(work + more)
        )

    def _sum(self, patients: Sequence[Complexes]) -> tuple[list[Sums], validation.Tolerance, Work]:
        """Each patient's sums of z and z^2, computed blindly and checked; and what noise may be in them.

        Args:
            patients: z, complex128[n] each.
        """
        parameters = self._keys.parameters
        jobs = packing.pack(patients, parameters.slots, parameters.max_packs)
        sums = [Sums()] * len(patients)
        work = Work()
        for job in jobs:
            total, squares, cost = self._run(job.packs)
            work += cost
            for index, columns in job.columns:
                sums[index] += Sums(complex(total[columns].sum()), complex(squares[columns].sum()))
        most = max((len(job.packs) for job in jobs), default=1)
        return sums, validation.tolerance(parameters, most), work

    def _run(self, packs: Complexes) -> tuple[Complexes, Complexes, Work]:
        """One job: packs, complex128[packs, slots], to its checked sums, complex128[slots] each."""
        parameters = self._keys.parameters
        laps = [time.perf_counter()]
        shards = []
        for at in range(0, len(packs), _PACKS_AT_ONCE):
            some = packs[at : at + _PACKS_AT_ONCE].tobytes()
            shards.append(self._executor.submit(encryption.encrypt, parameters.name, self._keys.public, some))
        ciphertexts = [ciphertext for shard in shards for ciphertext in shard.result()]
        laps.append(time.perf_counter())
        answer, key_bytes = self._compute(ciphertexts)
        laps.append(time.perf_counter())
        total, squares = self._decrypt(answer)
        laps.append(time.perf_counter())
        validation.check(packs, total, squares, validation.tolerance(parameters, len(packs)))
        laps.append(time.perf_counter())
        encrypt_ms, cloud_ms, decrypt_ms, validate_ms = np.diff(laps) * 1e3
        return (
            total,
            squares,
            Work(
                checked_slots=2 * parameters.slots,
                ciphertexts=len(ciphertexts),
                bytes_up=answer.bytes_up,
                bytes_down=answer.bytes_down,
                key_bytes=key_bytes,
                encrypt_ms=float(encrypt_ms),
                cloud_ms=float(cloud_ms),
                compute_ms=answer.compute_ms,
                decrypt_ms=float(decrypt_ms),
                validate_ms=float(validate_ms),
            ),
        )

    def _compute(self, ciphertexts: list[bytes]) -> tuple[EncryptedSums, int]:
        """Sends a job, its evaluation key first when the cloud has it not (or, restarted, no longer).

        Returns:
            The answer, and the bytes of key that were sent.
        """
        key_bytes = 0
        with self._sending:
            if not self._key_sent:
                key_bytes += self._link.put_key(self._keys)
                self._key_sent = True
        try:
            return self._link.compute(self._keys, ciphertexts), key_bytes
        except KeyNotAtCloud:
            key_bytes += self._link.put_key(self._keys)
            return self._link.compute(self._keys, ciphertexts), key_bytes

    def _decrypt(self, answer: EncryptedSums) -> tuple[Complexes, Complexes]:
        keys = self._keys
        decrypted = self._executor.submit(
            encryption.decrypt, keys.parameters.name, keys.public, keys.secret, (answer.total, answer.squares)
        )
        try:
            total, squares = (np.frombuffer(part, np.complex128) for part in decrypted.result())
        except WorkerFailed as error:
            raise WrongResult(f"the cloud's result cannot be decrypted: {error}") from None
        return total, squares


def _complex(real: Floats, imaginary: Floats | float) -> Complexes:
    return np.asarray(real + 1j * imaginary, np.complex128)


def _encode(readings: Mapping[str, npt.ArrayLike], encoding: Encoding) -> list[Floats]:
    encoded = []
    for patient, values in readings.items():
        try:
            encoded.append(encoding.encode(values))
        except UnusableReadings as error:
            raise UnusableReadings(f"{patient}: {error}") from None
    return encoded
