"""A real portal in a process of its own, and who calls it: a browser with cookies, a program with a token."""

import http.client
import json
import os
import re
import secrets
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

BYTES = "application/octet-stream"
PASSWORD = "a long enough passphrase"  # noqa: S105 - of users of the tests


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Sends requests to one site, with the cookies that it got and the headers that it is given."""

    def __init__(self, address: str, context: ssl.SSLContext | None = None, /, **headers: str) -> None:
        self.parts, self.headers, self._context = urlsplit(address), headers, context
        self.cookies: dict[str, str] = {}
        self.set: list[str] = []  # every Set-Cookie as it came

    def connection(self) -> http.client.HTTPConnection:
        if self.parts.scheme == "https":
            return http.client.HTTPSConnection(self.parts.netloc, timeout=60, context=self._context)
        return http.client.HTTPConnection(self.parts.netloc, timeout=60)

    def send(self, method: str, path: str, body: bytes = b"", /, **headers: str) -> Answer:
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = self.connection()
        try:
            connection.request(method, path, body or None, sent)
            answer = connection.getresponse()
            got = Answer(
                answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            )
            for line in answer.headers.get_all("Set-Cookie", []):
                self.set.append(line)
                for name, morsel in SimpleCookie(line).items():
                    self.cookies[name] = morsel.value
                    if morsel["max-age"] == "0":
                        del self.cookies[name]
            return got
        finally:
            connection.close()

    def get(self, path: str, /, **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def post(self, path: str, fields: dict[str, str], page: str | None = None, /, **headers: str) -> Answer:
        """Sends a form with the token of the page that it is on."""
        token = form_token(self.get(page or path).text)
        body = urlencode(fields | {"csrfmiddlewaretoken": token}).encode()
        more = {"Content_Type": "application/x-www-form-urlencoded", "Origin": self.origin} | headers
        return self.send("POST", path, body, **more)

    def upload(self, path: str, body: bytes, /, **headers: str) -> Answer:
        return self.send("POST", path, body, **({"Content_Type": BYTES} | headers))

    @property
    def origin(self) -> str:
        return f"{self.parts.scheme}://{self.parts.netloc}"


def form_token(html: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([A-Za-z0-9]+)"', html)
    assert found, "the page has no form of this site"
    return found[1]


class Portal:
    """`pericard cloud portal` without the tools distribution, in a process of its own."""

    def __init__(self, folder: Path, more: str = "", environment: Mapping[str, str] | None = None) -> None:
        """Serves what is in `folder`/models; `more` are lines of its configuration."""
        self.folder, self._environment = folder, {**os.environ, **(environment or {})}
        self.config, self.ready_file = folder / "cloud.toml", folder / "ready"
        # All users of a test come from one address.
        limits, _, rest = more.partition("[portal.limits]")
        self.config.write_text(
            f'[portal]\nlisten = "127.0.0.1:0"\n{limits}\n[portal.metrics]\n'
            f"[portal.limits]\n{'' if 'registrations' in rest else 'registrations = 1000'}\n{rest}"
        )
        self.log: list[str] = []
        self.start()

    def start(self) -> None:
        self.log.clear()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from pericard_cloud.cli import cloud; cloud(prog_name='cloud')"),
                *("portal", "--config", self.config, "--ready-file", self.ready_file),
            ],
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self._environment,
        )
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self.wait_for(lambda: any('"serving"' in line for line in self.log)):
            self.stop()
            raise AssertionError("the portal did not start:\n" + "".join(self.log))
        (serving,) = (json.loads(line) for line in self.log if '"serving"' in line)
        self.address, self.pages = serving["address"], serving["pages"]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._grown:
                self.log.append(line)
                self._grown.notify_all()
        with self._grown:
            self._grown.notify_all()

    def wait_for(self, said: Callable[[], bool], seconds: float = 90) -> bool:
        with self._grown:
            return self._grown.wait_for(lambda: said() or not self._reader.is_alive(), seconds) and said()

    def stop(self) -> int:
        """Tells it to end, and gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def kill(self) -> None:
        """Ends it and its children as a power cut would."""
        for pid in (self.process.pid, *_below(self.process.pid)):
            os.kill(pid, signal.SIGKILL)
        self._ended()

    def _ended(self) -> int:
        code = self.process.wait(60)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def workers(self) -> list[int]:
        """The processes that compute: children of the fork server."""
        return [
            pid for pid in _below(self.process.pid) if "forkserver" in _command(pid) and _below(pid) == []
        ]

    def caller(self, **headers: str) -> Caller:
        return Caller(self.address, None, **headers)

    def registered(self, name: str = "") -> Caller:
        """A browser that is logged in as a new user."""
        browser = self.caller()
        name = name or f"user-{secrets.token_hex(4)}"
        answer = browser.post("/register/", {"name": name, "password1": PASSWORD, "password2": PASSWORD})
        assert answer.status == 302, answer.text
        return browser

    def program(self, browser: Caller | None = None) -> Caller:
        """A program with a token of the browser's user."""
        answer = (browser or self.registered()).post("/account/", {"name": "for a test"})
        found = re.search(r"pct_[A-Za-z0-9_-]+", answer.text)
        assert found, answer.text
        return self.caller(Authorization=f"Bearer {found[0]}")

    def run(self, code: str) -> str:
        """What Python code prints, in a process with the portal's Django and database."""
        done = subprocess.run(
            [sys.executable, "-c", f"import django; django.setup()\n{code}"],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.folder,
            env=self._environment
            | {
                "PERICARD_CLOUD_CONFIG": str(self.config),
                "DJANGO_SETTINGS_MODULE": "pericard_cloud.portal.settings",
            },
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def finished(program: Caller, job: str, seconds: float = 120) -> Any:
    """The job when it is at its end."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        shown = program.get(f"/api/v1/jobs/{job}").json
        if shown["state"] not in ("queued", "running"):
            return shown
        time.sleep(0.1)
    raise AssertionError(f"the job did not end: {shown}")


def _below(pid: int) -> list[int]:
    found: list[int] = []
    for one in _children(pid):
        found += [one, *_below(one)]
    return found


def _children(pid: int) -> list[int]:
    try:
        lists = [one.read_text() for one in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for one in lists for child in one.split()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


class Page(HTMLParser):
    """The tags of a page: (name, attributes)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]
