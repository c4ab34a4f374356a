"""A KMS to test: in this process with a clock that tests turn, or the real command as a process."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pericard_kms.http.api import Api
from pericard_kms.storage.journal import JournaledDatabase
from pericard_kms.storage.sealed_store import SealedStore
from pericard_protocol.uplink.suites import KemSuite


class SetClock:
    """A time that only tests move."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class VaultClient:
    """Calls an Api in this process as the service does: handle, flush, then look at the reply."""

    def __init__(self, database: JournaledDatabase, clock: SetClock, suites: Mapping[int, KemSuite]) -> None:
        self.database = database
        self.api = Api(database, clock, suites=suites)
        self.token = ""
        self.shares: list[str] = []

    @property
    def store(self) -> SealedStore:
        """What this KMS stores; only while it is unsealed."""
        assert self.api.unsealed is not None, "the KMS is sealed"
        return self.api.unsealed.store

    def stored(self, name: str) -> bytes:
        """The value of `name`, which must be there."""
        value = self.store.get(name)
        assert value is not None, name
        return value

    def __call__(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, token: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        data = b"" if body is None else json.dumps(body).encode()
        reply = self.api.handle(
            method, "/v1/" + path, self.token if token is None else token, data, "127.0.0.1"
        )
        self.api.flush()
        return reply.status, json.loads(reply.body or b"{}")

    def ok(self, method: str, path: str, body: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """The `data` (or the whole answer) of a request that must succeed."""
        status, answer = self(method, path, body, **more)
        assert status in (200, 204), answer
        data = answer.get("data")
        return answer if data is None else dict(data)

    def refused(
        self, status: int, method: str, path: str, body: dict[str, Any] | None = None, **more: Any
    ) -> str:
        """The error text of a request that must be refused with `status`."""
        got, answer = self(method, path, body, **more)
        assert got == status, answer
        return " ".join(answer["errors"])

    def limited(self, policy: str, name: str = "limited", **settings: Any) -> str:
        """A token that may only do what `policy` says."""
        self.ok("PUT", f"sys/policies/acl/{name}", {"policy": policy})
        status, answer = self("POST", "auth/token/create", {"policies": [name], **settings})
        assert status == 200, answer
        return str(answer["auth"]["client_token"])


class KmsProcess:
    """`pericard kms run` on a free loopback port; without `data`, the options say where."""

    def __init__(self, data: Path | None, *options: str, secure: bool = False) -> None:
        place = () if data is None else ("--data", str(data), "--listen", "127.0.0.1:0")
        self.options = (*place, *(() if secure else ("--insecure-http",)), *options)
        self.start()

    def start(self) -> None:
        """Starts it and waits for the line that says it listens."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pericard_kms", "run", *self.options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(60), "the KMS did not start"
        line = self.process.stdout.readline().decode()
        if not line:
            raise AssertionError(self.process.communicate()[1].decode())
        self.port = int(line.rsplit(":", 1)[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Kill -9, at whatever moment."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        """SIGTERM; it must end with 0."""
        if self.process.poll() is None:
            self.process.terminate()
            _, errors = self.process.communicate(timeout=60)
            assert self.process.returncode == 0, errors.decode()


#: Opens the same KMS again, as after a restart; starts one more as a process.
Reopen = Callable[..., VaultClient]
StartKms = Callable[..., KmsProcess]
