"""A stand-in for the portal: its HTTP API on loopback, with linear models that it really computes.

It keeps what it was sent, so that a test can look at what a portal sees.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray
from tests.parts.seal_peer import Cloud

from pericard_protocol.errors import PeerError
from pericard_protocol.prediction import objects
from pericard_protocol.prediction.manifest import Manifest

TOKEN = "pct_of-the-tests"  # noqa: S105 - nobody's
Answer = tuple[int, Any]


@dataclass
class StandInPortal:
    """`models` have their weights; `refuse` may answer a request (method, path) instead."""

    models: dict[str, tuple[Manifest, NDArray[np.int64]]]
    refuse: Callable[[str, str], Answer | None] = lambda method, path: None
    keys: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        self.seen.append((method, path, headers, body))
        if refusal := self.refuse(method, path):
            return refusal
        parts = urlsplit(path.removeprefix("/api/v1"))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        kind, *rest = parts.path.strip("/").split("/")
        if kind != "models" and headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"reason": "login", "message": "Log in, or send a token."}
        try:
            return getattr(self, f"_{kind}")(method, rest, query, body)  # type: ignore[no-any-return]
        except KeyError:
            return 404, {"reason": "absent", "message": "There is nothing here."}
        except PeerError as error:
            return 400, {"reason": error.reason, "message": str(error)}

    def _models(self, method: str, rest: list[str], query: dict[str, str], body: bytes) -> Answer:
        if rest:
            return 200, {"manifest": json.loads(self.models[rest[0]][0].to_json()), "card": {}}
        return 200, [
            {"name": m.name, "digest": m.digest, "kind": m.kind, "task": m.task, "features": len(m.features)}
            for m, _ in self.models.values()
        ]

    def _account(self, method: str, rest: list[str], query: dict[str, str], body: bytes) -> Answer:
        return 200, {"user": "ada", "quota": []}

    def _keys(self, method: str, rest: list[str], query: dict[str, str], body: bytes) -> Answer:
        if method == "POST":
            objects.parse_keys(body)
            self.keys[f"k{len(self.keys)}"] = body
            return 201, self._listed()[-1]
        if method == "DELETE":
            del self.keys[rest[0]]
            return 204, None
        return 200, self._listed()

    def _listed(self) -> list[dict[str, str]]:
        return [{"id": one, "fingerprint": objects.fingerprint(k).hex()} for one, k in self.keys.items()]

    def _jobs(self, method: str, rest: list[str], query: dict[str, str], body: bytes) -> Answer:
        if method == "POST" and not rest:
            manifest, weights = self.models[query["model"]]
            keys = objects.parse_keys(self.keys[query["key"]])
            one = f"j{len(self.jobs)}"
            self.results[one] = Cloud(keys).linear(manifest, body, weights, keys.fingerprint)
            self.jobs[one] = {"id": one, "state": "queued", "progress": 0.0, "error": None}
            return 202, self.jobs[one]
        job = self.jobs[rest[0]]
        if method == "DELETE":
            del self.jobs[rest[0]]
            return 204, None
        if rest[1:] == ["cancel"]:
            job["state"] = "cancelled"
        elif rest[1:] == ["result"]:
            return 200, self.results[rest[0]]
        else:  # one step further at each question
            following = {"queued": ("running", 0.5), "running": ("done", 1.0)}
            job["state"], job["progress"] = following.get(job["state"], (job["state"], 1.0))
        return 200, job


class _Handler(BaseHTTPRequestHandler):
    portal: StandInPortal

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = self.portal.answer(self.command, self.path, dict(self.headers), body)
        content = (
            answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
        )
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", self.portal.url + "/elsewhere")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def serving(portal: StandInPortal, certificate: Path | None = None) -> Iterator[StandInPortal]:
    """The portal at `portal.url`; with a file of certificate and key, over TLS."""
    handler = type("Handler", (_Handler,), {"portal": portal})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
            scheme = "https"
        portal.url = f"{scheme}://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield portal
        finally:
            server.shutdown()
            thread.join()
