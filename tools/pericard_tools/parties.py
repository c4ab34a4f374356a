"""Starts `pericard …` as processes of their own, waits until they serve, stops them, and keeps their logs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from pericard_protocol.errors import PericardError

_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0
_PERICARD = (sys.executable, "-m", "pericard_tools")


class StageFailed(PericardError):
    """A stage of the demo did not do what it should; the message names the stage and the reason."""


def pericard(
    stage: str,
    *words: str,
    environment: dict[str, str] | None = None,
    typed: str = "",
    seconds: float = 120.0,
) -> str:
    """Runs one `pericard` command to its end; what it printed.

    Secrets go by `environment` or are `typed`; never among the words.

    Raises:
        StageFailed: it failed or took too long; with the end of its log.
    """
    try:
        done = subprocess.run(  # noqa: S603
            [*_PERICARD, *words],
            capture_output=True,
            text=True,
            input=typed,
            timeout=seconds,
            env=os.environ | (environment or {}),
        )
    except subprocess.TimeoutExpired:
        raise StageFailed(f"{stage}: `pericard {' '.join(words)}` took over {seconds:.0f} s") from None
    if done.returncode != 0:
        raise StageFailed(f"{stage}: `pericard {' '.join(words)}` failed: {_end(done.stderr)}")
    return done.stdout


def pericard_json(stage: str, *words: str, environment: dict[str, str] | None = None) -> Any:
    """The same, with --json; what it printed, parsed."""
    return json.loads(pericard(stage, *words, "--json", environment=environment))


class Party:
    """A serving process: `with Party("cloud", folder, "cloud", "run", …) as cloud: cloud.address`."""

    def __init__(
        self, name: str, folder: Path, *words: str, environment: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self.address = ""
        self.log = folder / f"{name}.log"
        self._ready = folder / f"{name}.ready"
        self._command = [*_PERICARD, *words, "--ready-file", str(self._ready)]
        self._environment = os.environ | (environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )
        deadline = time.monotonic() + _READY_SECONDS
        while not self._ready.exists():
            if self._process.poll() is not None:
                raise StageFailed(f"{self.name}: it ended at once: {_end(self.log.read_text())}")
            if time.monotonic() > deadline:
                self.stop()
                raise StageFailed(f"{self.name}: not ready after {_READY_SECONDS:.0f} s")
            time.sleep(0.02)
        self.address = self._ready.read_text().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the process, by force if it must be; does nothing when it has ended."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise StageFailed(f"{self.name}: it did not stop within {_STOP_SECONDS:.0f} s") from None

    def check(self) -> None:
        """Raises StageFailed when the process has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise StageFailed(f"{self.name}: it ended by itself: {_end(self.log.read_text())}")

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log's lines that tell of `event`."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if line.get("event") == event]


def _end(text: str) -> str:
    return os.linesep.join(text.strip().splitlines()[-6:]) or "it said nothing"
