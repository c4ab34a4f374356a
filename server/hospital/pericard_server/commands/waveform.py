"""`pericard server waveform`: opens a patient's stored waveform blocks and prints their samples."""

import getpass
import json
from pathlib import Path
from typing import Any

import click

from pericard_protocol.device.waveform import parse_block
from pericard_server.commands.shared import microseconds, quarantined_option, shown_time
from pericard_server.site import config_option, open_site


@click.command()
@config_option
@click.option("--patient", required=True, help="The patient's pseudonym.")
@click.option("--since", type=click.DateTime(), help="Only what was received from then on (UTC).")
@click.option("--until", type=click.DateTime(), help="Only what was received before then (UTC).")
@click.option("--why", required=True, help="The reason for the access log.")
@quarantined_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a block.")
def waveform(
    path: Path, patient: str, since: Any, until: Any, why: str, quarantined: bool, as_json: bool
) -> None:
    """Print a patient's stored waveform, a line for each block, in the order in which they were received.

    A line has the device, when the block was received, the number of its first sample since the sensor
    started, the samples a second, and the samples in the sensor's own unit.
    """
    records = open_site(path).records()
    since_us, until_us = microseconds(since, 0), microseconds(until, 2**63 - 1)
    who = getpass.getuser()
    for row in records.waveform(patient, who, why, since_us, until_us, quarantined=quarantined):
        block = parse_block(row.payload)
        if as_json:
            shown = {"device": row.device, "received_at_us": row.received_at_us} | block._asdict()
            click.echo(json.dumps(shown))
        else:
            samples = " ".join(map(str, block.samples))
            click.echo(
                f"{row.device}\t{shown_time(row.received_at_us)}\t{block.first}\t{block.rate}\t{samples}"
            )
