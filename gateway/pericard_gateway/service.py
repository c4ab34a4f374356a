"""The running gateway: ports → link → intake → store → uplink, with its pages, until it is told to stop."""

import asyncio
import json
import logging
import resource
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path

from bleak.backends.client import BaseBleakClient
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from pericard_edge import files
from pericard_edge.files import FileError
from pericard_edge.jsonlog import fields
from pericard_edge.pages import Page, Pages
from pericard_edge.systemd import notify, watchdog_seconds
from pericard_gateway.custody.custody import custody_of
from pericard_gateway.devices.link import Link
from pericard_gateway.devices.registry import Registry
from pericard_gateway.operations import metrics
from pericard_gateway.operations.counters import Counters
from pericard_gateway.ports.ble import BlePort
from pericard_gateway.ports.serial import SerialPort
from pericard_gateway.settings import Settings, Updates
from pericard_gateway.updates.rollout import Rollout
from pericard_gateway.updates.updater import Updater
from pericard_gateway.uplink.credentials import Credentials
from pericard_gateway.uplink.delivery import Target, Uplink
from pericard_gateway.uplink.intake import Intake
from pericard_gateway.uplink.sealing import Sealing
from pericard_gateway.uplink.spool import Spool
from pericard_gateway.uplink.store import Store
from pericard_protocol.device.update import Update, UpdateError
from pericard_protocol.device.update import parse as parse_update
from pericard_protocol.errors import PeerError
from pericard_protocol.uplink.providers import provider

ADDRESS_FILE = "address"  # in the state folder: where the running gateway's pages are
BUNDLE_FILE = "bundle.pb"
FLUSH_SECONDS = 3.0
# The stop ends tasks twice and flushes once: 11 s at the worst, within the unit's TimeoutStopSec of 15 s.
_CANCELLATIONS, _PATIENCE_SECONDS = 2, 2.0

_log = logging.getLogger("pericard.gateway")


class Gateway:
    """Everything that the configuration names, read and checked; `run` starts it."""

    def __init__(self, settings: Settings, radio: type[BaseBleakClient] | None = None) -> None:
        """Reads all files; opens no port, no spool, no connection.

        `radio` is bleak's backend for the BLE devices; None takes this machine's own.

        Raises:
            NoLiboqs: the KEM provider that [kem] asks for is not installed.
            FileError, RegistryError, CredentialError, UpdateError: which file is wrong, and what to do.
        """
        self._settings, self._radio = settings, radio
        self._kem = provider(settings.kem.provider)
        self._counters = Counters()
        self._custody = custody_of(settings, self._counters)
        self._registry: Registry = self._custody.registry()
        self._credentials = Credentials(settings.tls, settings.gateway_id, self._custody.read_secret)
        self._credentials.identity()
        self._sealing = Sealing(
            settings.gateway_id,
            _private_key(self._custody.read_secret(settings.identity, "identity key"), settings.identity),
            pinned_key(settings.pinned),
            self._kem.suites,
        )
        self._rollout = None if settings.updates is None else Rollout(_update(settings.updates))

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Runs until `stop` is set, then stores what was read and tries to deliver it for a few seconds.

        Raises:
            SpoolError: the state folder is in use, or damaged.
        """
        # Keys must not reach the disk through a crash.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        settings, counters = self._settings, self._counters
        with Spool(settings.state) as spool:
            self._registry.resume(spool.marks())
            store = Store(spool, self._sealing, counters, settings.state / BUNDLE_FILE)
            intake = Intake(self._registry, store, settings.spool.max_mb << 20)
            intake.review()
            uplink = Uplink(
                Target(settings.server.address, settings.server.name),
                self._credentials,
                store,
                intake.stored,
                intake.review,
                counters,
            )
            paths = [*(str(port.path) for port in settings.ports), *(one.address for one in settings.ble)]
            updaters = {path: Updater(self._rollout) for path in paths if self._rollout is not None}

            def taker(path: str) -> Callable[[], Callable[[bytes], None]]:
                return partial(self._taker, intake, path, updaters.get(path))

            wired = [
                SerialPort(port, taker(str(port.path)), intake.room, counters) for port in settings.ports
            ]
            wireless = [
                BlePort(one.address, taker(one.address), intake.room, counters, self._radio)
                for one in settings.ble
            ]
            ports: list[SerialPort | BlePort] = [*wired, *wireless]
            pages = self._pages(store, intake, uplink, ports)
            address = await pages.start(settings.metrics.listen)
            files.write(settings.state / ADDRESS_FILE, address.encode())
            reading = [asyncio.create_task(port.run()) for port in ports]
            reading += [
                asyncio.create_task(updaters[port.path].run(port.write))
                for port in ports
                if port.path in updaters
            ]
            storing = asyncio.create_task(intake.run())
            delivering = asyncio.create_task(uplink.run())
            waiting = asyncio.create_task(stop.wait())
            watched = asyncio.create_task(_report(store))
            keeping = asyncio.create_task(
                self._custody.keep(
                    self._registry, spool.marks, lambda: spool.key_ids() | self._sealing.key_ids
                )
            )
            _log.info(
                "gateway started",
                extra=fields(gateway=settings.gateway_id, pages=address, kem=str(self._kem)),
            )
            try:
                # Opening a port discards what it had buffered: only now may a device rely on being heard.
                # On BLE a node keeps its frames until we subscribe, so nobody waits for one out of range.
                await asyncio.gather(*(port.tried.wait() for port in wired))
                ready()
                notify("READY=1")
                await asyncio.wait(
                    [*reading, storing, delivering, watched, keeping, waiting],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                notify("STOPPING=1")
                await _end(*reading)
                for port in ports:
                    port.drain()
                intake.end()
                await storing
                await _delivered(store, uplink)
            finally:
                await _end(waiting, watched, keeping, delivering, *reading, storing)
                pages.close()
                (settings.state / ADDRESS_FILE).unlink(missing_ok=True)
                store.close()
                self._registry.forget()
        _log.info(
            "gateway stopped", extra=fields(gateway=settings.gateway_id, spool_records=spool.depth.records)
        )

    def _taker(self, intake: Intake, port: str, updater: Updater | None) -> Callable[[bytes], None]:
        if updater is not None:
            updater.connected()
        link = Link(self._registry, self._counters, None if updater is None else updater.heard)

        def take(data: bytes) -> None:
            with self._counters.stage("open"):
                opened, rejected = link.feed(data, time.time_ns() // 1000)
                if opened:
                    intake.add(opened)
                for error in rejected:
                    self._tell(port, error)

        return take

    def _tell(self, port: str, error: PeerError) -> None:
        count = self._counters.rejected[error.reason]
        if count & (count - 1) == 0:  # 1, 2, 4, 8, …: a flood of junk does not become a flood of logs
            _log.warning(
                "rejected", extra=fields(port=port, reason=error.reason, count=count, why=str(error))
            )

    def _pages(
        self, store: Store, intake: Intake, uplink: Uplink, ports: list[SerialPort | BlePort]
    ) -> Pages:
        scrape = metrics.exposition(
            self._counters, lambda: store.depth, lambda: uplink.state == "up", self._rollout
        )

        def troubles() -> dict[str, str]:
            found = {"uplink": uplink.state} if uplink.state != "up" else {}
            found |= {f"port {port.path}": port.trouble for port in ports if port.trouble}
            if intake.trouble:
                found["store"] = intake.trouble
            if intake.spool_full:
                found["spool"] = "full: devices are not read"
            if not store.sealing.usable(time.time()):
                found["key bundle"] = "none that is valid"
            return found

        def health() -> Page:
            # Trouble on the uplink is what the spool is for; only what stops frames makes the gateway unwell.
            found = troubles()
            unwell = "store" in found or "spool" in found
            body = json.dumps({"ok": not unwell, "troubles": found}).encode()
            status = HTTPStatus.SERVICE_UNAVAILABLE if unwell else HTTPStatus.OK
            return Page(body, "application/json", status)

        def status() -> Page:
            return Page(json.dumps(self._status(store, troubles(), uplink)).encode(), "application/json")

        return Pages(
            {
                "/metrics": lambda: Page(scrape(), "text/plain; version=0.0.4; charset=utf-8"),
                "/healthz": health,
                "/status": status,
            }
        )

    def _status(self, store: Store, troubles: dict[str, str], uplink: Uplink) -> dict[str, object]:
        counters, depth = self._counters, store.depth

        return {
            "gateway": self._settings.gateway_id,
            "kem": str(self._kem),
            "devices": {str(device): counts.row() for device, counts in counters.devices.items()},
            "rejected": dict(counters.rejected),
            "refused": dict(counters.refused),
            "spool": depth._asdict(),
            "uplink": uplink.state,
            "acked_frames": counters.acked_frames,
            "bytes_in": counters.bytes_in,
            "bytes_out": counters.bytes_out,
            "stage_ms": counters.stage_ms,
            "updates": None if self._rollout is None else self._rollout.row(),
            "troubles": troubles,
        }


async def _report(store: Store) -> None:
    seconds = watchdog_seconds()
    while True:
        await asyncio.sleep(seconds or 3600)
        await store.turn()  # an event loop that turns while the disk hangs is not alive
        notify("WATCHDOG=1")


async def _delivered(store: Store, uplink: Uplink) -> None:
    uplink.empty.clear()
    if store.depth.records == 0:
        return
    try:
        async with asyncio.timeout(FLUSH_SECONDS):
            await uplink.empty.wait()
    except TimeoutError:
        _log.warning(
            "stopped before all was delivered: it waits on disk",
            extra=fields(spool_records=store.depth.records),
        )


async def _end(*tasks: asyncio.Task[object]) -> None:
    """Cancels them, and again: a library may swallow a cancellation, or wait once more on its way out.

    What even then goes on is left behind: it must not keep what was read from being stored and delivered.
    """
    running = set(tasks)
    for _ in range(_CANCELLATIONS):
        for task in running:
            task.cancel()
        if running:
            _, running = await asyncio.wait(running, timeout=_PATIENCE_SECONDS)
    if running:
        _log.warning("the stop leaves behind what does not end", extra=fields(tasks=len(running)))
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


def _private_key(pem: bytes, path: Path) -> MLDSA65PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, MLDSA65PrivateKey):
        raise FileError(f"identity key {path} is not an unencrypted ML-DSA-65 private key in PEM")
    return key


def pinned_key(path: Path) -> MLDSA65PublicKey:
    """The hospital's identity key in a PEM file.

    Raises:
        FileError: it is none.
    """
    key = _public_key(path, "pinned key")
    if not isinstance(key, MLDSA65PublicKey):
        raise FileError(f"pinned key {path} is not an ML-DSA-65 public key in PEM")
    return key


def _update(chosen: Updates) -> Update:
    key = None if chosen.key is None else _public_key(chosen.key, "update key")
    if key is not None and not isinstance(key, Ed25519PublicKey):
        raise FileError(
            f"update key {chosen.key} is not an Ed25519 public key: openssl pkey -pubout makes it"
        )
    try:
        return parse_update(files.read(chosen.path, "update"), key)
    except UpdateError as error:
        raise UpdateError(f"{chosen.path}: {error}") from None


def _public_key(path: Path, what: str) -> object:
    try:
        return load_pem_public_key(files.read(path, what))
    except (ValueError, UnsupportedAlgorithm):
        raise FileError(f"{what} {path} is not a public key in PEM") from None
