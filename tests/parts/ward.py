"""A ward for tests: devices that seal real frames, a hospital behind mutual TLS, a gateway as a process."""

import asyncio
import contextlib
import dataclasses
import json
import os
import pty
import secrets
import signal
import sqlite3
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.parts.waiting import until

from pericard_gateway.operations import status
from pericard_protocol import channel
from pericard_protocol.channel import Identity
from pericard_protocol.device.frame import FrameType, Header, seal_frame
from pericard_protocol.device.stream import encode_packet
from pericard_protocol.errors import PeerError
from pericard_protocol.proto import uplink_pb2_grpc
from pericard_protocol.proto.uplink_pb2 import Ack, KeyBundle, OpenedFrame, Sealed
from pericard_protocol.uplink.bundle import sign_bundle
from pericard_protocol.uplink.session import MAX_MESSAGE_BYTES, SessionOpener
from pericard_protocol.uplink.suites import DEFAULT_SUITE, suite_of

Identifier = tuple[int, int, int]


def vitals(**more: object) -> bytes:
    return json.dumps(
        {"age": 70, "heart_rate_bpm": 61.5, "sensor_id": "s-1", "timestamp": 1.5, **more}
    ).encode()


class Device:
    """A sensor: it counts its frames and seals them, as the firmware does."""

    def __init__(self, number: int) -> None:
        self.number, self.key = number, secrets.token_bytes(32)
        self.boot, self.seq, self.epoch = 1, 0, 0

    def frame(self, payload: bytes | None = None, kind: FrameType = FrameType.VITALS) -> bytes:
        header = Header(kind, self.epoch, self.number, self.boot, self.seq)
        self.seq += 1
        return seal_frame(ChaCha20Poly1305(self.key), header, vitals() if payload is None else payload)

    def packet(self, payload: bytes | None = None) -> bytes:
        return encode_packet(self.frame(payload))

    @property
    def entry(self) -> dict[str, object]:
        return {"device": self.number, "epoch": 0, "key": self.key.hex(), "owner": "test"}


class StandInHospital(uplink_pb2_grpc.UplinkServicer):
    """Opens what gateways deliver and keeps it; can be told to be out of order in several ways."""

    def __init__(self, gateway_id: str, gateway_key: Any) -> None:
        self.identity = MLDSA65PrivateKey.generate()
        self._gateway_id, self._gateway_key = gateway_id, gateway_key
        self._changed = threading.Condition()
        self.frames: dict[Identifier, OpenedFrame] = {}
        self.duplicates = 0
        self.clock_skew = 0.0
        self._ciphertexts: dict[tuple[bytes, int], bytes] = {}
        self.reused: list[tuple[bytes, int]] = []  # numbers, hence nonces, that came with two ciphertexts
        self.errors: list[str] = []
        self.wire: list[bytes] = []
        self.answer: Callable[[], Ack.Status | None] = lambda: Ack.COMMITTED
        self._private = b""
        self.publish(int(time.time()) - 3600)

    def publish(self, not_before: int, signer: MLDSA65PrivateKey | None = None) -> None:
        """Makes a new key bundle, valid for a day."""
        self._private, public = DEFAULT_SUITE.generate()
        self._bundle = sign_bundle(
            KeyBundle(
                key_id=f"day-{not_before}",
                suite=DEFAULT_SUITE.id,
                public_key=public,
                not_before=not_before,
                not_after=not_before + 86400,
            ),
            signer or self.identity,
        )

    def GetKeyBundle(self, request: Any, context: Any) -> Any:
        self._bundle.server_time_us = int((time.time() + self.clock_skew) * 1e6)
        return self._bundle

    def _decapsulate(self, _key_id: str, suite: int, wrapped: bytes) -> bytes:
        return suite_of(suite).decapsulate(self._private, wrapped)

    def Ingest(self, parts: Iterator[Sealed], context: Any) -> Iterator[Ack]:
        sessions: dict[bytes, SessionOpener] = {}
        for part in parts:
            self.wire.append(part.SerializeToString())
            try:
                if part.HasField("session"):
                    opener = SessionOpener(
                        part.session, self._gateway_id, self._gateway_key, self._decapsulate
                    )
                    sessions[opener.header.session_id] = opener
                    continue
                record = part.record
                frames = sessions[record.session_id].open(record).frames
            except PeerError as error:
                self.errors.append(str(error))
                continue
            number = (record.session_id, record.number)
            self._remember(number, record.ciphertext)
            answer = self.answer()
            if answer == Ack.COMMITTED:
                self._store(frames)
            if answer is not None:
                yield Ack(
                    session_id=record.session_id,
                    number=record.number,
                    status=answer,
                    reason="as the test wants",
                )

    def _remember(self, number: tuple[bytes, int], ciphertext: bytes) -> None:
        if self._ciphertexts.setdefault(number, ciphertext) != ciphertext:
            self.reused.append(number)

    def _store(self, frames: Any) -> None:
        with self._changed:
            for frame in frames:
                key = (frame.device, frame.boot, frame.seq)
                known = self.frames.setdefault(key, frame)
                # The same record may come again; the same frame in another record may not.
                self.duplicates += known != frame
            self._changed.notify_all()

    def wait_for(self, count: int, seconds: float = 60) -> None:
        """Returns once `count` frames are stored."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.frames) >= count, seconds), (
                f"{len(self.frames)} of {count} frames after {seconds} s; {self.errors[:3]}"
            )


@contextlib.contextmanager
def serving(hospital: StandInHospital, identity: Identity, address: str = "127.0.0.1:0") -> Iterator[int]:
    """The hospital behind mutual TLS, on a port."""
    server = grpc.server(ThreadPoolExecutor(8), options=channel.server_options(MAX_MESSAGE_BYTES))
    uplink_pb2_grpc.add_UplinkServicer_to_server(hospital, server)
    port: int = server.add_secure_port(address, channel.server_credentials(identity))
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@dataclasses.dataclass
class Line:
    """A serial line: the device's end of a pseudo-terminal, and the path of the gateway's end."""

    master: int
    path: str

    def write(self, data: bytes) -> None:
        """Returns when the line has taken all of it, as a blocking write does; but see `unblock`."""
        while data:
            try:
                data = data[os.write(self.master, data) :]
            except BlockingIOError:
                time.sleep(0.002)  # a write that blocks in the kernel may sleep on when the line is flushed

    def unblock(self) -> None:
        """Takes away what nobody reads any more, so that a waiting writer goes on."""
        termios.tcflush(self.master, termios.TCIOFLUSH)

    def close(self) -> None:
        os.close(self.master)


def new_line() -> Line:
    master, slave = pty.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    os.close(slave)
    os.set_blocking(master, False)
    return Line(master, path)


def feed(line: Line, device: Device, stop: threading.Event) -> None:
    """About 2,000 frames a second, until told to stop."""
    while not stop.wait(0.002):
        line.write(b"".join(device.packet() for _ in range(4)))


def committed(ward: "Ward", device: Device) -> int:
    """How many frames of the device's present boot the gateway has committed to its spool."""
    with contextlib.closing(sqlite3.connect(ward.folder / "state" / "spool.db")) as database:
        row = database.execute("SELECT boot, seq FROM marks WHERE device = ?", (device.number,)).fetchone()
    return row[1] + 1 if row and row[0] == device.boot else 0


def private_pem(key: MLDSA65PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: MLDSA65PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclasses.dataclass
class Ward:
    """A gateway's folder, its configuration, and the process."""

    folder: Path
    tls: Identity
    pinned: bytes  # PEM
    signer: MLDSA65PrivateKey
    devices: list[Device]
    lines: list[Line]
    server_port: int
    extra: str = ""
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    configured: bool = False  # the files are somebody else's: leave them

    def configure(self) -> Path:
        for name, content in {
            "tls.pem": self.tls.certificate,
            "tls.key": self.tls.private_key,
            "ca.pem": self.tls.authorities,
            "identity.pem": private_pem(self.signer),
            "hospital.pem": self.pinned,
            "registry.json": json.dumps({"devices": [device.entry for device in self.devices]}).encode(),
        }.items():
            (self.folder / name).write_bytes(content)
            (self.folder / name).chmod(0o600)
        ports = "".join(f'[[ports]]\npath = "{line.path}"\n' for line in self.lines)
        path = self.folder / "gateway.toml"
        path.write_text(
            'gateway_id = "ward-1"\nstate = "state"\ndevices = "registry.json"\nidentity = "identity.pem"\n'
            f'pinned = "hospital.pem"\n{ports}'
            f'[server]\naddress = "127.0.0.1:{self.server_port}"\nname = "server.test"\n'
            f'[tls]\ncertificate = "tls.pem"\nkey = "tls.key"\nca = "ca.pem"\n{self.extra}'
        )
        return path

    def start(self) -> None:
        """Starts the gateway; returns when it says that it is ready."""
        config = self.folder / "gateway.toml" if self.configured else self.configure()
        ready = self.folder / f"ready-{self.starts}"
        self.starts += 1
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*pericard_gateway("run"), "--config", str(config), "--ready-file", str(ready)], stderr=log
            )
        until(lambda: ready.exists() or self._ended(), lambda: self.log)
        assert ready.exists(), self.log

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def feeding(self, frames: int) -> threading.Thread:
        """Starts writing frames of the first device to the first line."""

        def write() -> None:
            for _ in range(0, frames, 10):
                self.lines[0].write(b"".join(self.devices[0].packet() for _ in range(10)))

        thread = threading.Thread(target=write)
        thread.start()
        return thread

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Stops it in good order; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    @property
    def log(self) -> str:
        return (self.folder / "gateway.log").read_text()

    def status(self) -> dict[str, Any]:
        return status.fetch(self.folder / "state")


@contextlib.contextmanager
def telling(ready: asyncio.Event) -> Iterator[None]:
    """For a gateway that runs within the test: sets `ready` once it is."""
    ready.set()
    yield


def pericard_gateway(*command: str) -> list[str]:
    """The command as it is where no other domain is installed."""
    return [sys.executable, "-m", "pericard_gateway", *command]
