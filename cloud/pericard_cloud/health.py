"""What /healthz of the cloud tells: whether a worker takes a call and answers it, tried at every look.

A look has a worker make SEAL's context, as each job's first call does. That fails where workers cannot
start, die at once, or have too little memory for the library. While every worker is at work the trial waits
its turn, and the cloud is well as long as calls return.
"""

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

from pericard_cloud.statistics import moments
from pericard_edge.confined import ConfinedExecutor, WorkerFailed
from pericard_edge.pages import Page, health_page
from pericard_protocol.fhe.parameters import MOMENTS

# How long a look waits for its trial: less than a page may take in all (`REQUEST_SECONDS`).
_PATIENCE_SECONDS = 3.0


class WorkerHealth:
    """Tries the workers, one trial at a time. Safe to use from many threads."""

    def __init__(self, workers: ConfinedExecutor, call_seconds: float) -> None:
        """`call_seconds` is what one call may take: workers that return nothing for longer are stuck."""
        self._workers, self._call_seconds = workers, call_seconds
        self._trial: Future[tuple[bytes, ...]] | None = None
        self._began = 0.0
        self._changing = threading.Lock()

    def page(self, stopping: bool) -> Page:
        """The page; a cloud that stops is unwell, and tries nothing."""
        troubles = {} if stopping else self._troubles()
        return health_page(troubles, stopping or bool(troubles))

    def _troubles(self) -> dict[str, str]:
        with self._changing:
            if self._trial is None:
                self._trial = self._workers.submit(moments.warm_up, MOMENTS.name)
                self._began = time.monotonic()
            trial, began = self._trial, self._began
        try:
            trial.result(_PATIENCE_SECONDS)
        except NotYet:
            waited = time.monotonic() - began
            if waited <= self._call_seconds or self._workers.returned_at >= began:
                return {}  # every worker is at work
            return {"workers": f"none has answered for {waited:.0f} s"}
        except WorkerFailed as error:
            self._end(trial)
            return {"workers": str(error)}
        self._end(trial)
        return {}

    def _end(self, trial: Future[tuple[bytes, ...]]) -> None:
        with self._changing:
            if self._trial is trial:
                self._trial = None
