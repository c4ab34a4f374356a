"""What came of the demo: frames and statistics of each patient, each stage's cost, what each party saw."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pericard_tools.demo.wire import LineTap
from pericard_tools.demo.world import Bed
from pericard_tools.parties import StageFailed


@dataclass
class Stage:
    """One stage's cost: wall or processor milliseconds, and the bytes that it handed on."""

    name: str
    milliseconds: float
    bytes: int


@dataclass
class Outcome:
    """What the demo prints."""

    frames: int = 0
    stored: int = 0
    validated: bool = False
    patients: list[dict[str, Any]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    saw: dict[str, str] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Frames that left a board and are not stored."""
        return self.frames - self.stored

    @property
    def good(self) -> bool:
        """Whether everything that was sent is stored and every statistic is validated."""
        return self.validated and self.lost == 0 and self.frames > 0


def outcome_of(
    taps: Mapping[Bed, LineTap],
    ward: dict[str, Any],
    hospital: dict[str, Any],
    ingested: list[dict[str, Any]],
    report: dict[str, Any],
    searched: str,
    wires: dict[str, int],
    seal_us: float,
) -> Outcome:
    """Puts together what each party counted.

    Args:
        taps: what each bed's board put on its line.
        ward: the gateway's status.
        hospital: the hospital's status.
        ingested: the hospital's log lines on streams that ended.
        report: the analysis.
        searched: what the search of all files said.
        wires: bytes on each network, by its name.
        seal_us: microseconds that a board takes to seal a frame.

    Raises:
        StageFailed: the analysis does not cover every stored reading.
    """
    analysed = {row["patient"]: row for row in report["patients"]}
    outcome = Outcome(frames=sum(tap.frames for tap in taps.values()), stored=hospital["stored"])
    for bed, tap in taps.items():
        device, row = str(bed.device), analysed.get(bed.patient)
        stored = hospital["devices"].get(device, 0)
        if row is None or row["fhe"]["count"] != stored:
            raise StageFailed(f"analysis: {bed.patient}'s report does not cover the {stored} stored readings")
        outcome.patients.append(
            {
                "patient": bed.patient,
                "device": bed.device,
                "sent": tap.frames,
                "received": ward["devices"].get(device, {}).get("accepted", 0),
                "stored": stored,
                "lost": tap.frames - stored,
                "mean_blind": row["fhe"]["mean"],
                "mean_clear": row["clear"]["mean"],
                "mean_difference": row["mean_difference"],
                "sd_blind": row["fhe"]["standard_deviation"],
                "sd_clear": row["clear"]["standard_deviation"],
                "sd_difference": row["standard_deviation_difference"],
            }
        )
    # `analyse` fails when a result is wrong: a report that lists every patient is a validated one.
    outcome.validated = bool(report["validated"])
    line = sum(tap.bytes for tap in taps.values())
    stage_ms = ward["stage_ms"]
    outcome.stages = [
        Stage("device: seal (emulated)", outcome.frames * seal_us / 1e3, line),
        Stage("gateway: open device frames", stage_ms["open"], ward["bytes_in"]),
        Stage("gateway: seal for the hospital", stage_ms["seal"], ward["bytes_out"]),
        Stage("gateway: spool", stage_ms["spool"], ward["bytes_out"]),
        Stage("hospital: open records", _sum(ingested, "open_ms"), _sum(ingested, "bytes")),
        Stage("hospital: seal and store", _sum(ingested, "commit_ms"), _sum(ingested, "bytes")),
        Stage("hospital: encrypt for the cloud", report["encrypt_ms"], report["bytes_up"]),
        Stage("cloud: compute blindly", report["compute_ms"], report["bytes_down"]),
        Stage("hospital: decrypt", report["decrypt_ms"], report["bytes_down"]),
        Stage("hospital: validate", report["validate_ms"], 0),
    ]
    sealed_up = f"{report['ciphertexts']} CKKS ciphertext(s) ({report['bytes_up']:,} bytes)"
    outcome.saw = {
        "the line": f"{line:,} bytes of ChaCha20-Poly1305 frames: device, epoch and counters are readable",
        "the gateway": f"{ward['acked_frames']} vitals, in memory only; its disk held sealed records",
        "the network": ", ".join(f"{name} {size:,} bytes" for name, size in wires.items()) + ", all TLS 1.3",
        "the hospital": f"every reading when opened; its database holds {hospital['stored']} sealed rows",
        "the KMS": "keys only; it lends device keys to the gateway and opens sessions for the hospital",
        "the cloud": f"{sealed_up} and no secret key",
        "the disks": searched,
    }
    return outcome


def _sum(events: list[dict[str, Any]], name: str) -> Any:
    return sum(event[name] for event in events)
