"""The hospital server's commands."""

import json
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pericard_edge.jsonlog import fields, log_to_stderr
from pericard_protocol.errors import UsageError
from pericard_server.commands.analyse import analyse
from pericard_server.commands.enrolment import invite, serving_enrolment
from pericard_server.commands.waveform import waveform
from pericard_server.site import config_option, open_site

log = logging.getLogger("pericard.server")

_REVOCATION_SECONDS = 1.0
_STREAMS = 64  # one thread a connected gateway


@click.group()
def server() -> None:
    """The hospital: sealed records, and blind statistics that it validates."""


server.add_command(analyse)
server.add_command(waveform)


@server.command()
@config_option
def init(path: Path) -> None:
    """Make the keys and the database, or bring the database to this release. Keeps what exists."""
    site = open_site(path, migrate=True)
    site.keys.create()
    click.echo(f"records in {site.config.records.database}", err=True)


@server.command()
@config_option
def identity(path: Path) -> None:
    """Print the hospital's public identity key (PEM), which gateways pin."""
    click.echo(open_site(path).keys.identity_pem().decode(), nl=False)


@server.command()
@config_option
@click.option("--check", is_flag=True, help="Only check the configuration, the keys and the database.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Write the address here once serving.")
def run(path: Path, check: bool, ready_file: Path | None) -> None:
    """Serve the gateways until SIGTERM."""
    log_to_stderr()
    site = open_site(path)
    records, own_identity, authority = site.records(), site.identity(), site.authority()
    site.keys.check()
    log.info("the hospital starts", extra=fields(kem=site.keys.kem))
    if check:
        click.echo(f"{path}: good", err=True)
        return
    import grpc

    from pericard_edge.process import ready, stop_event
    from pericard_edge.serving import serving
    from pericard_protocol.channel import server_credentials, server_options
    from pericard_protocol.proto.uplink_pb2_grpc import add_UplinkServicer_to_server
    from pericard_protocol.uplink.session import MAX_MESSAGE_BYTES
    from pericard_server.ingest.servicer import Uplink

    grpc_server = grpc.server(
        ThreadPoolExecutor(_STREAMS),
        options=server_options(MAX_MESSAGE_BYTES),
        maximum_concurrent_rpcs=_STREAMS,
    )
    uplink = Uplink(records, site.keys, authority)
    add_UplinkServicer_to_server(uplink, grpc_server)
    stop = stop_event()
    credentials = server_credentials(own_identity)
    with (
        serving_enrolment(site, authority, records),
        serving(grpc_server, site.config.listen.address, credentials) as address,
    ):
        click.echo(f"serving on {address}", err=True)
        with ready(ready_file, address):
            while not stop.wait(_REVOCATION_SECONDS):
                uplink.end_revoked()


@server.group()
def gateway() -> None:
    """The gateways that may deliver."""


gateway.add_command(invite)


@gateway.command("add")
@config_option
@click.argument("name")
@click.argument("key", type=click.File("rb"))
def gateway_add(path: Path, name: str, key: Any) -> None:
    """Register gateway NAME (as in its certificate) with its ML-DSA-65 public KEY (a PEM file)."""
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    open_site(path)
    from pericard_server.records.models import Gateway

    try:
        loaded = load_pem_public_key(key.read())
    except ValueError:
        raise UsageError(f"{key.name} is not a PEM public key") from None
    if not isinstance(loaded, MLDSA65PublicKey):
        raise UsageError(f"{key.name} must hold an ML-DSA-65 public key")
    Gateway.objects.update_or_create(name=name, defaults={"verifying_key": loaded.public_bytes_raw()})


@gateway.command("revoke")
@config_option
@click.argument("name")
def gateway_revoke(path: Path, name: str) -> None:
    """Refuse every new call of gateway NAME."""
    open_site(path)
    from pericard_server.records.models import Gateway

    if not Gateway.objects.filter(name=name).update(revoked_at=datetime.now(UTC)):
        raise UsageError(f"no gateway {name!r}")


@server.group()
def patient() -> None:
    """The patients, by pseudonym, and the devices that serve them."""


@patient.command("add")
@config_option
@click.argument("pseudonym")
@click.option("--device", type=click.IntRange(0, 2**32 - 1), help="The device that serves them from now on.")
def patient_add(path: Path, pseudonym: str, device: int | None) -> None:
    """Register a patient, or give a registered one a device."""
    open_site(path)
    from django.db import transaction

    from pericard_server.records.models import Assignment, Patient

    with transaction.atomic():
        person, _ = Patient.objects.get_or_create(pseudonym=pseudonym)
        if device is not None:
            now = datetime.now(UTC)
            Assignment.objects.filter(device=device, until=None).update(until=now)
            Assignment.objects.create(device=device, patient=person, since=now)


@patient.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def patient_list(path: Path, as_json: bool) -> None:
    """Show the patients, their present device and how many readings each has."""
    open_site(path)
    from pericard_server.records.models import Assignment, Patient, Reading

    shown = [
        {
            "patient": person.pseudonym,
            "devices": sorted(
                Assignment.objects.filter(patient=person, until=None).values_list("device", flat=True)
            ),
            "readings": Reading.objects.filter(patient=person).count(),
        }
        for person in Patient.objects.order_by("pseudonym")
    ]
    _print(
        shown, as_json, lambda row: f"{row['patient']}\tdevices {row['devices']}\t{row['readings']} readings"
    )


@server.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(path: Path, as_json: bool) -> None:
    """Show what is stored, for each device, and what was refused, by reason."""
    site = open_site(path)
    from django.db.models import Count

    from pericard_server.records.models import Reading, Refusal

    per_device = Reading.objects.values("device").annotate(rows=Count("pk")).order_by("device")
    shown: dict[str, Any] = {
        "stored": Reading.objects.count(),
        "unassigned": Reading.objects.filter(patient=None).count(),
        "devices": {str(row["device"]): row["rows"] for row in per_device},
        "refused": dict(Refusal.objects.values_list("reason", "count")),
        "kem": site.keys.kem,
    }
    _print(list(shown.items()) if not as_json else shown, as_json, lambda item: f"{item[0]}\t{item[1]}")


def _print(shown: Any, as_json: bool, line: Callable[[Any], str]) -> None:
    if as_json:
        json.dump(shown, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        for item in shown:
            click.echo(line(item))
