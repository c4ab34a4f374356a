"""Looks for the usual mistakes, from this machine outwards; says what to do. Changes nothing."""

import asyncio
import datetime
import os
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import grpc
from bleak import BleakScanner
from google.protobuf.message import DecodeError

from pericard_edge.kms import BadKmsAddress, KmsRefused, NoToken, TokenDenied
from pericard_gateway.config import GatewaySettings
from pericard_gateway.errors import NotRunning
from pericard_gateway.keyfiles import read_pinned_key
from pericard_gateway.operations import status
from pericard_gateway.service import GatewayService
from pericard_gateway.updates.state import UpdateState
from pericard_gateway.uplink.credentials import Credentials
from pericard_gateway.uplink.outbox import BUNDLE_FILE
from pericard_protocol import channel
from pericard_protocol.errors import PericardError, Unavailable
from pericard_protocol.proto.uplink_pb2 import KeyBundleRequest, SignedKeyBundle
from pericard_protocol.proto.uplink_pb2_grpc import UplinkStub
from pericard_protocol.uplink.bundle import verify_bundle
from pericard_protocol.uplink.liboqs import NoLiboqs
from pericard_protocol.uplink.providers import provider
from pericard_protocol.uplink.suites import SUITES

CALL_SECONDS = 5.0
SCAN_SECONDS = 5.0  # a node advertises four times a second
# Sessions and certificates carry times; when clocks differ by more than this, they begin to be refused.
MAX_SKEW_SECONDS = 30.0
_OF_THE_KMS = (BadKmsAddress, NoToken, TokenDenied, KmsRefused, Unavailable)


class Finding(NamedTuple):
    """One thing looked at; `advice` is empty when it is well."""

    what: str
    found: str
    advice: str = ""


def examine(settings: GatewaySettings) -> Iterator[Finding]:
    """Every finding, from the files to the hospital; later ones need the earlier to be well."""
    try:
        chosen = str(provider(settings.kem.provider))
    except NoLiboqs as error:
        yield Finding("KEM provider", str(error), "do that, and look again: the gateway does not start")
        return
    try:
        service = GatewayService(settings)
    except _OF_THE_KMS as error:
        yield Finding("KMS", str(error), "mend this first: the gateway has no device key without it")
        return
    except PericardError as error:
        yield Finding("files", str(error), "mend this first: the rest cannot be looked at")
        return
    with closing(service):
        yield from _examine(settings, service.credentials, chosen)


def _examine(settings: GatewaySettings, credentials: Credentials, chosen: str) -> Iterator[Finding]:
    yield Finding("files", "all there, private ones closed to others")
    if settings.kms is not None:
        yield Finding("KMS", "answers, and may lend to this gateway's token; nothing was borrowed to see it")
    try:
        running = status.fetch(settings.state)
    except NotRunning:
        running = None
    yield _kem(chosen, running)
    yield _running(running)
    yield from _lease(running)
    if running is not None and running["updates"] is not None:
        yield from _updates(running["updates"])
    yield from _ports(settings)
    yield from _ble(settings, running)
    yield _certificate(credentials)
    yield _kept_bundle(settings)
    yield from _hospital(settings, credentials)


def _kem(chosen: str, running: dict[str, Any] | None) -> Finding:
    if running is not None and running["kem"] != chosen:
        found = f"{running['kem']} computes the running gateway's ML-KEM; the configuration has {chosen}"
        return Finding("KEM provider", found, "restart the gateway")
    return Finding("KEM provider", f"{chosen} computes ML-KEM")


def _running(found: dict[str, Any] | None) -> Finding:
    if found is None:
        return Finding("gateway", "does not run", "start it: pericard gateway run, or systemctl start")
    refused = found["spool"]["refused_records"]
    if refused:
        advice = "look for `the server refused a record` in the log; the hospital's status has the reasons"
        return Finding("gateway", f"runs; {refused} records were refused and are kept aside", advice)
    if "spool" in found["troubles"]:
        advice = "reach the hospital again, or raise [spool] max_mb"
        return Finding("gateway", "runs; its spool is full", advice)
    return Finding("gateway", f"runs; {found['spool']['records']} records wait")


def _lease(running: dict[str, Any] | None) -> Iterator[Finding]:
    if running is None:
        return
    if why := running["troubles"].get("lease"):
        advice = "until it does, device keys are held to their lease's end and not beyond"
        yield Finding("lease", why, advice)
    for device, why in running["not_lent"].items():
        advice = "its frames are not opened: pericard kms device show tells its life; or mend [kms] devices"
        yield Finding(f"device {device}", f"its key is not lent: {why}", advice)


def _updates(found: dict[str, Any]) -> Iterator[Finding]:
    devices = found["devices"].values()
    current = sum(one["state"] == UpdateState.CURRENT for one in devices)
    what = f"update {found['version']}"
    yield Finding(what, f"{current} of {len(devices)} devices heard so far have it")
    for device, one in found["devices"].items():
        if one["state"] == UpdateState.FAILED:
            advice = "do that, or look at the device; restarting the gateway has it try again"
            yield Finding(f"{what}, device {device}", f"{one['why']} (attempts: {one['attempts']})", advice)


def _ports(settings: GatewaySettings) -> Iterator[Finding]:
    for port in settings.ports:
        what = f"port {port.path}"
        try:
            mode = port.path.stat().st_mode
        except OSError as error:
            advice = "plug it in; ls -l /dev/serial/by-id shows what is there"
            yield Finding(what, error.strerror or "absent", advice)
            continue
        if not stat.S_ISCHR(mode):
            yield Finding(what, "is not a serial port", "correct [[ports]] path")
        elif not os.access(port.path, os.R_OK | os.W_OK):
            advice = "sudo usermod -aG dialout $USER, then log in again"
            yield Finding(what, "may not be opened by this user", advice)
        else:
            yield Finding(what, "is there and may be opened")


def _ble(settings: GatewaySettings, running: dict[str, Any] | None) -> Iterator[Finding]:
    troubles = {} if running is None else running["troubles"]
    ports = {f"port {one.address}": one.address.upper() for one in settings.ble}
    if running is not None:
        # A connected node does not advertise: it could not be heard.
        for what in [one for one in ports if one not in troubles]:
            yield Finding(what, "is connected to the gateway")
            del ports[what]
    if not ports:
        return
    try:
        heard = {device.address.upper() for device in asyncio.run(BleakScanner.discover(SCAN_SECONDS))}
    except Exception as error:  # as in ble.py: whatever bleak's backend raises
        advice = "start bluetoothd, unblock the radio (rfkill list), let this user call org.bluez on D-Bus"
        for what in ports:
            yield Finding(what, f"this machine's Bluetooth cannot be used: {error}", advice)
        return
    for what, address in ports.items():
        if address not in heard:
            advice = "bring it nearer, look whether it has power and its LINK is ble, correct [[ble]] address"
            yield Finding(what, "is not heard", advice)
        elif what in troubles:
            advice = "reset the device: another gateway may hold it, or its firmware is not Pericard's"
            yield Finding(what, f"is in range; the gateway says: {troubles[what]}", advice)
        else:
            yield Finding(what, "is in range")


def _certificate(credentials: Credentials) -> Finding:
    begins, ends = credentials.validity()
    left = ends - datetime.datetime.now(datetime.UTC)
    found = f"ends {ends:%Y-%m-%d %H:%M} UTC"
    if left < datetime.timedelta():
        return Finding("certificate", found, "it is over: enrol again, with a new invitation")
    if left < (ends - begins) / 6:  # renewal begins at a third
        return Finding("certificate", found, "it should have been renewed: see `certificate` in the log")
    return Finding("certificate", found)


def _kept_bundle(settings: GatewaySettings) -> Finding:
    path = settings.state / BUNDLE_FILE
    if not path.exists():
        return Finding("key bundle", "none is kept yet: the gateway cannot seal before it met the hospital")
    try:
        verify_bundle(
            SignedKeyBundle.FromString(path.read_bytes()), read_pinned_key(settings.pinned), time.time()
        )
    except (PericardError, DecodeError) as error:
        return Finding("key bundle", str(error), "the gateway needs the hospital's server to seal again")
    return Finding("key bundle", "the one kept is good: the gateway seals without the hospital")


def _hospital(settings: GatewaySettings, ours: Credentials) -> Iterator[Finding]:
    what = f"hospital {settings.server.address}"
    options = channel.channel_options(1 << 16, settings.server.name)
    credentials = channel.channel_credentials(ours.identity())
    with grpc.secure_channel(settings.server.address, credentials, options=options) as connection:
        try:
            signed = UplinkStub(connection).GetKeyBundle(
                KeyBundleRequest(suites=list(SUITES)), timeout=CALL_SECONDS
            )
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
            yield Finding(what, f"{code.name}: {details}", _advice(code, details))
            return
    yield Finding(what, "answers, and knows this gateway")
    skew = time.time() - signed.server_time_us / 1e6
    advice = "let NTP set it: timedatectl set-ntp true" if abs(skew) > MAX_SKEW_SECONDS else ""
    yield Finding("clock", f"{skew:+.1f} s from the hospital's", advice)
    try:
        verify_bundle(signed, read_pinned_key(settings.pinned), time.time())
    except PericardError as error:
        yield Finding(
            "hospital's key", str(error), "compare the pinned key with the hospital's: server identity"
        )


def _advice(code: grpc.StatusCode, details: str) -> str:
    if code == grpc.StatusCode.PERMISSION_DENIED:
        return "the hospital does not know this gateway, or revoked it: enrol it again"
    if "handshake" in details.lower() or "certificate" in details.lower() or "ssl" in details.lower():
        return "TLS fails: are [tls] ca and [server] name the hospital's, and is the certificate still valid?"
    return "is the address right, the server up, a firewall in between?"
