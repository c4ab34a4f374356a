"""The gateway as a process: reads and checks what the configuration names, runs and stops it."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from typing import NamedTuple

from pericard_edge.jsonlog import fields
from pericard_edge.systemd import notify, watchdog_seconds
from pericard_gateway.config import GatewaySettings
from pericard_gateway.custody import custody_of
from pericard_gateway.devices.registry import Registry
from pericard_gateway.keyfiles import parse_identity_key, read_pinned_key
from pericard_gateway.operations import health
from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.operations.pages import served
from pericard_gateway.ports import open_ports
from pericard_gateway.ports.port import Port
from pericard_gateway.reader import FrameReader
from pericard_gateway.updates.file import read_update
from pericard_gateway.updates.rollout import Rollout
from pericard_gateway.updates.updater import Updater
from pericard_gateway.uplink.credentials import Credentials
from pericard_gateway.uplink.delivery import Delivery
from pericard_gateway.uplink.intake import Intake
from pericard_gateway.uplink.outbox import BUNDLE_FILE, Outbox
from pericard_gateway.uplink.sealing import RecordSealer
from pericard_gateway.uplink.spool import Spool
from pericard_protocol.uplink.providers import provider

# The stop ends tasks twice and flushes once: 11 s at the worst, within the unit's TimeoutStopSec of 15 s.
_CANCELLATIONS, _PATIENCE_SECONDS = 2, 2.0

_log = logging.getLogger("pericard.gateway")


OpenPorts = Callable[[GatewaySettings, asyncio.Event, GatewayCounts], list[Port]]


class _Line(NamedTuple):
    """A port with its reader, and what brings updates to the devices on it."""

    port: Port
    reader: FrameReader
    updater: Updater | None


class _Parts(NamedTuple):
    """What a frame passes from its port to the hospital."""

    registry: Registry
    lines: list[_Line]
    intake: Intake
    outbox: Outbox
    delivery: Delivery


class _Tasks(NamedTuple):
    """What runs side by side. Any of them that ends by itself ends the gateway."""

    reading: list[asyncio.Task[None]]
    storing: asyncio.Task[None]
    delivering: asyncio.Task[None]
    keeping_secrets: asyncio.Task[None]
    feeding_watchdog: asyncio.Task[None]
    awaiting_stop: asyncio.Task[object]

    def all(self) -> list[asyncio.Task[object]]:
        """In the order in which they may be cancelled."""
        beside = [self.awaiting_stop, self.feeding_watchdog, self.keeping_secrets]
        return [*beside, self.delivering, *self.reading, self.storing]


class GatewayService:
    """Everything that the configuration names, read and checked; `run` starts it."""

    def __init__(self, settings: GatewaySettings, open_ports: OpenPorts = open_ports) -> None:
        """Reads all files; opens no port, no spool, no connection but the KMS's, and borrows no device key.

        `open_ports` makes the ports that the settings name.

        Raises:
            NoLiboqs: the KEM provider that [kem] asks for is not installed.
            NoToken, TokenDenied, Unavailable: the KMS of [kms] will not, or cannot now, lend us device keys.
            FileError, RegistryError, CredentialError, UpdateError: which file is wrong, and what to do.
        """
        self._settings, self._open_ports = settings, open_ports
        self._kem = provider(settings.kem.provider)
        self._counts = GatewayCounts()
        self._custody = custody_of(settings, self._counts)
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            self._custody.check()
            self.credentials = Credentials(settings.tls, settings.gateway_id, self._custody.read_secret)
            self.credentials.identity()
            identity = self._custody.read_secret(settings.identity, "identity key")
            self._sealer = RecordSealer(
                settings.gateway_id,
                parse_identity_key(identity, settings.identity),
                read_pinned_key(settings.pinned),
                self._kem.suites,
            )
            self._rollout = None if settings.updates is None else Rollout(read_update(settings.updates))
            on_failure.pop_all()

    def close(self) -> None:
        """Ends the connection to the KMS, if there is one."""
        self._custody.close()

    async def run(self, stop: asyncio.Event, ready: AbstractContextManager[None]) -> None:
        """Runs until `stop` is set, then stores what was read and tries to deliver it for a few seconds.

        `ready` is entered when devices are heard, and left at the stop.

        Raises:
            SpoolError: the state folder is in use, or damaged.
            KmsRefused, Unavailable, LeaseError: the KMS lends no device key.
            NoPages: the address of [metrics] cannot be listened on.
        """
        gateway = self._settings.gateway_id
        async with AsyncExitStack() as at_end:  # what is opened last is closed first
            spool = at_end.enter_context(Spool(self._settings.state))
            # In a thread: a KMS that does not answer must not hold up the stop.
            at_end.callback(self.close)
            registry = await asyncio.to_thread(self._custody.registry)
            at_end.callback(registry.forget)
            registry.resume(spool.marks())
            parts = self._parts(spool, registry)
            at_end.callback(parts.outbox.close)
            pages = served(
                self._settings.metrics.listen,
                self._settings.state,
                lambda: self._snapshot(parts),
                self._rollout,
            )
            address = await at_end.enter_async_context(pages)
            tasks = self._start(parts, stop)
            at_end.push_async_callback(_end, *tasks.all())
            about = fields(gateway=gateway, pages=address, kem=str(self._kem))
            _log.info("gateway started", extra=about)
            await asyncio.gather(*(line.port.listening() for line in parts.lines))
            with ready:
                await asyncio.wait(tasks.all(), return_when=asyncio.FIRST_COMPLETED)
            await _stop(parts, tasks)
        _log.info("gateway stopped", extra=fields(gateway=gateway, spool_records=spool.depth.records))

    def _parts(self, spool: Spool, registry: Registry) -> _Parts:
        settings, counts = self._settings, self._counts
        outbox = Outbox(spool, self._sealer, counts, settings.state / BUNDLE_FILE)
        intake = Intake(registry, outbox, settings.spool.max_mb << 20)
        intake.review_room()
        delivery = Delivery(
            settings.server, self.credentials, outbox, intake.stored, intake.review_room, counts
        )
        lines = []
        for port in self._open_ports(settings, intake.room, counts):
            updater = None if self._rollout is None else Updater(self._rollout, port.write)
            reader = FrameReader(port.name, registry, intake, counts, updater)
            lines.append(_Line(port, reader, updater))
        return _Parts(registry, lines, intake, outbox, delivery)

    def _start(self, parts: _Parts, stop: asyncio.Event) -> _Tasks:
        reading = [asyncio.create_task(line.port.run(line.reader)) for line in parts.lines]
        reading += [asyncio.create_task(line.updater.run()) for line in parts.lines if line.updater]
        return _Tasks(
            reading=reading,
            storing=asyncio.create_task(parts.intake.run()),
            delivering=asyncio.create_task(parts.delivery.run()),
            keeping_secrets=asyncio.create_task(self._custody.keep(parts.registry, parts.outbox)),
            feeding_watchdog=asyncio.create_task(_feed_watchdog(parts.outbox)),
            awaiting_stop=asyncio.create_task(stop.wait()),
        )

    def _snapshot(self, parts: _Parts) -> health.Snapshot:
        return health.Snapshot(
            gateway=self._settings.gateway_id,
            kem=str(self._kem),
            uplink=parts.delivery.state,
            ports={line.port.name: line.port.trouble for line in parts.lines},
            intake=parts.intake.trouble,
            spool_full=parts.intake.spool_full,
            can_seal=parts.outbox.can_seal(),
            spool=parts.outbox.depth,
            counts=self._counts,
            updates=None if self._rollout is None else self._rollout.row(),
        )


async def _stop(parts: _Parts, tasks: _Tasks) -> None:
    """Ends the reading, then stores all that was read, then delivers as much as a few seconds allow."""
    await _end(*tasks.reading)
    for line in parts.lines:
        line.port.drain(line.reader)
    parts.intake.finish()
    await tasks.storing
    await parts.delivery.flush()


async def _feed_watchdog(outbox: Outbox) -> None:
    seconds = watchdog_seconds()
    while True:
        await asyncio.sleep(seconds or 3600)
        await outbox.caught_up()  # a gateway whose event loop turns while its disk hangs is not alive
        notify("WATCHDOG=1")


async def _end(*tasks: asyncio.Task[object]) -> None:
    """Cancels them, and again: a library may swallow a cancellation, or wait once more on its way out.

    A task that goes on even then is left behind: what was read must be stored and delivered all the same.
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
