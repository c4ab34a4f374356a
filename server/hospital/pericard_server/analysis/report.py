"""What a blind analysis found: frozen, by FHE and in the clear side by side, with its cost.

What follows from other fields is a field too, so that `dataclasses.asdict` has all that is shown.
"""

import math
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Moments:
    """Count, mean and (population) variance of readings; all but the count are None when there are none."""

    count: int
    mean: float | None
    variance: float | None
    standard_deviation: float | None = field(init=False)

    def __post_init__(self) -> None:
        deviation = None if self.variance is None else math.sqrt(self.variance)
        object.__setattr__(self, "standard_deviation", deviation)


@dataclass(frozen=True)
class PatientStatistics:
    """One patient: what the cloud computed blindly, what we computed ourselves, and FHE minus clear."""

    patient: str
    fhe: Moments
    clear: Moments
    mean_difference: float | None = field(init=False)
    variance_difference: float | None = field(init=False)
    standard_deviation_difference: float | None = field(init=False)

    def __post_init__(self) -> None:
        for name in ("mean", "variance", "standard_deviation"):
            one, other = getattr(self.fhe, name), getattr(self.clear, name)
            difference = None if one is None or other is None else one - other
            object.__setattr__(self, f"{name}_difference", difference)


@dataclass(frozen=True)
class Relation:
    """How two quantities x and y of a patient move together.

    Attributes:
        count: pairs.
        covariance: population covariance, unit of x times unit of y; None without pairs.
        correlation: Pearson's; None when either does not vary beyond what noise could be.
        slope: of the least-squares line of x over y, unit of x per unit of y; None when y does not vary.
    """

    count: int
    covariance: float | None
    correlation: float | None
    slope: float | None


@dataclass(frozen=True)
class PatientRelation:
    """One patient: what the cloud computed blindly, and what we computed ourselves."""

    patient: str
    fhe: Relation
    clear: Relation


@dataclass(frozen=True, kw_only=True)
class Work:
    """What an analysis took; the sum of two is that of both.

    Attributes:
        checked_slots: decrypted values compared with the clear ones.
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

    checked_slots: int = 0
    ciphertexts: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    key_bytes: int = 0
    encrypt_ms: float = 0.0
    cloud_ms: float = 0.0
    compute_ms: float = 0.0
    decrypt_ms: float = 0.0
    validate_ms: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        names = [field.name for field in fields(Work)]
        return Work(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class Report(Work):
    """A validated analysis: it exists only when every slot of every result was right.

    Attributes:
        patients: in the order given.
        readings: in all.
        mean_tolerance: the most by which noise may move a mean, in the readings' unit.
        variance_tolerance: the same of a variance, unit squared.
    """

    patients: tuple[PatientStatistics, ...]
    readings: int
    mean_tolerance: float
    variance_tolerance: float


@dataclass(frozen=True, kw_only=True)
class RelationReport(Work):
    """A validated analysis of pairs: it exists only when every slot of every result was right.

    Attributes:
        patients: in the order given.
        covariance_tolerance: the most by which noise may move a covariance, unit of x times unit of y.
    """

    patients: tuple[PatientRelation, ...]
    covariance_tolerance: float
