"""What a blind analysis found: frozen, by FHE and in the clear side by side, with its cost."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Moments:
    """Count, mean and (population) variance of readings; mean and variance are None when there are none."""

    count: int
    mean: float | None
    variance: float | None

    @property
    def standard_deviation(self) -> float | None:
        """The square root of the variance."""
        return None if self.variance is None else math.sqrt(self.variance)


@dataclass(frozen=True)
class PatientStatistics:
    """One patient: what the cloud computed blindly, and what we computed ourselves."""

    patient: str
    fhe: Moments
    clear: Moments

    @property
    def mean_difference(self) -> float | None:
        """FHE minus clear, in the readings' unit."""
        return _difference(self.fhe.mean, self.clear.mean)

    @property
    def standard_deviation_difference(self) -> float | None:
        """FHE minus clear, in the readings' unit."""
        return _difference(self.fhe.standard_deviation, self.clear.standard_deviation)

    @property
    def variance_difference(self) -> float | None:
        """FHE minus clear, in the readings' unit squared."""
        return _difference(self.fhe.variance, self.clear.variance)


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


@dataclass(frozen=True)
class Report:
    """A validated analysis: it exists only when every slot of every result was right.

    Attributes:
        patients: in the order given.
        mean_tolerance: the most by which noise may move a mean, in the readings' unit.
        variance_tolerance: the same of a variance, unit squared.
        checked_slots: values compared with the clear ones.
        readings: in all.
        ciphertexts: sent to the cloud.
        bytes_up: ciphertexts, as gRPC messages.
        bytes_down: results and progress, as gRPC messages.
        key_bytes: of the evaluation key sent for this analysis; 0 when the cloud had it.
        encrypt_ms: wall time at the hospital.
        cloud_ms: wall time of sending, computing and receiving.
        compute_ms: of that, processor time of the cloud's workers, by its own word.
        decrypt_ms: wall time at the hospital.
        validate_ms: wall time at the hospital.
    """

    patients: tuple[PatientStatistics, ...]
    mean_tolerance: float
    variance_tolerance: float
    checked_slots: int
    readings: int
    ciphertexts: int
    bytes_up: int
    bytes_down: int
    key_bytes: int
    encrypt_ms: float
    cloud_ms: float
    compute_ms: float
    decrypt_ms: float
    validate_ms: float
