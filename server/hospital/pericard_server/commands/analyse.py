"""`pericard server analyse`: opens readings, has the cloud compute on them blindly, validates, prints."""

import dataclasses
import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pericard_protocol.device.vitals import parse_vitals
from pericard_protocol.errors import PeerError, UsageError
from pericard_server.commands.output import json_option, microseconds, quarantined_option
from pericard_server.site import Site, config_option, open_site

if TYPE_CHECKING:
    from pericard_server.analysis import Report
    from pericard_server.records.store import OpenedReading, Records


@click.command()
@config_option
@click.option("--patient", "chosen", multiple=True, help="A pseudonym; may be repeated. Default: all.")
@click.option("--since", type=click.DateTime(), help="Only what was received from then on (UTC).")
@click.option("--until", type=click.DateTime(), help="Only what was received before then (UTC).")
@click.option("--why", default="blind statistics", show_default=True, help="The reason for the access log.")
@quarantined_option
@json_option
def analyse(
    path: Path,
    chosen: tuple[str, ...],
    since: Any,
    until: Any,
    why: str,
    quarantined: bool,
    as_json: bool,
) -> None:
    """Compute heart-rate statistics in the cloud, which cannot read them, and validate the result.

    A wrong result is refused, counted and raised; it is never shown.
    """
    site = open_site(path)
    records = site.records()
    readings = {
        patient: _heart_rates(
            records.vitals(
                patient,
                getpass.getuser(),
                why,
                microseconds(since, 0),
                microseconds(until, 2**63 - 1),
                quarantined=quarantined,
            ),
            patient,
        )
        for patient in chosen or records.patients()
    }
    if not readings:
        raise UsageError("there is no reading of any patient yet: assign devices, then let a gateway deliver")
    report = _analyse(site, records, readings)
    if as_json:
        # A report exists only when every slot of every result was right (see analysis.validation).
        click.echo(json.dumps(dataclasses.asdict(report) | {"validated": True}, indent=2))
        return
    for row in report.patients:
        click.echo(
            f"{row.patient}\t{row.fhe.count} readings\tmean {_shown(row.fhe.mean)}"
            f"\tSD {_shown(row.fhe.standard_deviation)}\tdifference {_shown(row.mean_difference)} bpm"
        )
    click.echo(f"validated: {report.checked_slots} slots checked, means right to {report.mean_tolerance:.1e}")


def _analyse(site: Site, records: "Records", readings: dict[str, list[float]]) -> "Report":
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
        analysis = BlindAnalysis(site.keys.fhe_keys(lambda: encryption.new_keys(executor)), link, executor)
        try:
            return analysis.analyse({patient: np.array(values) for patient, values in readings.items()})
        except WrongResult as error:
            records.refuse(error.reason)
            raise


def _heart_rates(opened: "list[OpenedReading]", patient: str) -> list[float]:
    try:
        return [parse_vitals(row.payload).heart_rate_bpm for row in opened]
    except PeerError as error:
        raise UsageError(
            f"{patient}: a stored reading is not the vitals object ({error}); exclude its device"
        ) from None


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
