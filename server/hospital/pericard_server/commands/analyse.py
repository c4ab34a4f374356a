"""`pericard server analyse`: opens readings, has the cloud compute on them blindly, validates, prints."""

import dataclasses
import getpass
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pericard_protocol.device.vitals import parse_vitals
from pericard_protocol.errors import PeerError, UsageError
from pericard_server.commands.shared import json_option, microseconds, quarantined_option
from pericard_server.site import Site, config_option, open_site

if TYPE_CHECKING:
    from pericard_server.analysis import BlindAnalysis, RelationReport, Report
    from pericard_server.records.store import OpenedReading, Records

_HOUR_US = 3600 * 10**6


class HeartRate(NamedTuple):
    """A heart rate, and when it was received (Unix µs)."""

    received_at_us: int
    bpm: float


HeartRates = dict[str, list[HeartRate]]


@click.command()
@config_option
@click.option("--patient", "chosen", multiple=True, help="A pseudonym; may be repeated. Default: all.")
@click.option("--since", type=click.DateTime(), help="Only what was received from then on (UTC).")
@click.option("--until", type=click.DateTime(), help="Only what was received before then (UTC).")
@click.option("--why", default="blind statistics", show_default=True, help="The reason for the access log.")
@click.option("--covariance", type=click.Choice(["time"]), help="Also how the heart rate moves with this.")
@quarantined_option
@json_option
def analyse(
    path: Path,
    chosen: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    why: str,
    covariance: str | None,
    quarantined: bool,
    as_json: bool,
) -> None:
    """Compute heart-rate statistics in the cloud, which cannot read them, and validate the result.

    A wrong result is refused, counted and raised; it is never shown.
    """
    site = open_site(path)
    records = site.records()
    who, since_us, until_us = getpass.getuser(), microseconds(since, 0), microseconds(until, 2**63 - 1)
    rates = {
        patient: _heart_rates(
            records.vitals(patient, who, why, since_us, until_us, quarantined=quarantined), patient
        )
        for patient in chosen or records.patients()
    }
    if not rates:
        raise UsageError("there is no reading of any patient yet: assign devices, then let a gateway deliver")
    report, relation = _analyse(site, records, rates, with_time=covariance == "time")
    if as_json:
        # A report exists only when every slot of every result was right (see analysis.validation).
        shown: dict[str, Any] = dataclasses.asdict(report) | {"validated": True}
        if relation is not None:
            shown["covariance"] = {"with": "hours"} | dataclasses.asdict(relation)
        click.echo(json.dumps(shown, indent=2))
    else:
        _print(report, relation)


def _print(report: "Report", relation: "RelationReport | None") -> None:
    for row in report.patients:
        click.echo(
            f"{row.patient}\t{row.fhe.count} readings\tmean {_shown(row.fhe.mean)}"
            f"\tSD {_shown(row.fhe.standard_deviation)}\tdifference {_shown(row.mean_difference)} bpm"
        )
    for one in () if relation is None else relation.patients:
        click.echo(
            f"{one.patient}\twith time\tcovariance {_shown(one.fhe.covariance)} bpm h"
            f"\tcorrelation {_shown(one.fhe.correlation)}\ttrend {_shown(one.fhe.slope)} bpm/h"
        )
    slots = report.checked_slots + (0 if relation is None else relation.checked_slots)
    click.echo(f"validated: {slots} slots checked, means right to {report.mean_tolerance:.1e}")


def _analyse(
    site: Site, records: "Records", rates: HeartRates, *, with_time: bool
) -> "tuple[Report, RelationReport | None]":
    # Here, not above: numpy and gRPC take half a second that no other command should pay.
    import numpy as np

    from pericard_edge.confined import ConfinedExecutor, Limits
    from pericard_server.analysis import BlindAnalysis, encryption
    from pericard_server.analysis.cloud_link import CloudLink
    from pericard_server.analysis.errors import WrongResult

    cloud = site.config.cloud
    if cloud is None:
        raise UsageError("the configuration names no cloud: add a [cloud] table with its address")
    with (
        ConfinedExecutor(1, Limits()) as executor,
        CloudLink(cloud.address, site.identity(), cloud.name) as link,
    ):
        keys = site.keys.fhe_keys(lambda: encryption.new_keys(executor))
        analysis = BlindAnalysis(keys, link, executor)
        try:
            report = analysis.analyse(
                {patient: np.array([one.bpm for one in some]) for patient, some in rates.items()}
            )
            return report, _with_time(analysis, rates) if with_time else None
        except WrongResult as error:
            records.count_refusal(error.reason)
            raise


def _with_time(analysis: "BlindAnalysis", rates: HeartRates) -> "RelationReport":
    """How each patient's heart rate moves with the hours since the first reading of all."""
    from pericard_server.analysis import Encoding

    times = [one.received_at_us for some in rates.values() for one in some]
    first, last = min(times, default=0), max(times, default=0)
    pairs = {
        patient: (
            [one.bpm for one in some],
            [(one.received_at_us - first) / _HOUR_US for one in some],
        )
        for patient, some in rates.items()
    }
    # The whole range of the time makes the encoding; the cloud learns nothing of it.
    return analysis.relate(pairs, Encoding.spanning(0, max(last - first, 1) / _HOUR_US))


def _heart_rates(opened: "list[OpenedReading]", patient: str) -> list[HeartRate]:
    try:
        return [HeartRate(row.received_at_us, parse_vitals(row.payload).heart_rate_bpm) for row in opened]
    except PeerError as error:
        raise UsageError(
            f"{patient}: a stored reading is not the vitals object ({error}); exclude its device"
        ) from None


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
