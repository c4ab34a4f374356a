"""What the cloud counts: calls, their bytes and times, and refusals by reason. Never values."""

import logging
import threading

from prometheus_client import CollectorRegistry, Counter

from pericard_edge.jsonlog import fields

log = logging.getLogger("pericard.cloud")


class CloudCounts:
    """The counts of one process, in a registry for /metrics. Safe to use from many threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"pericard_cloud_{name}", text, labels, registry=self.registry)

        self._jobs = counter("jobs", "Jobs whose result was sent")
        self._ciphertexts = counter("ciphertexts", "Ciphertexts in those jobs")
        self._compute = counter("compute_seconds", "Time that workers computed for those jobs")
        self._keys = counter("keys", "Evaluation keys taken from clients")
        self._refused = counter("refused", "Calls refused or failed", "reason")
        self._by_reason: dict[str, int] = {}
        self._lock = threading.Lock()

    def keep_key(self) -> None:
        """Counts an evaluation key that a client sent."""
        self._keys.inc()

    def finish_job(self, ciphertexts: int, compute_ms: float) -> None:
        """Counts a job whose result was sent."""
        self._jobs.inc()
        self._ciphertexts.inc(ciphertexts)
        self._compute.inc(compute_ms / 1e3)

    def refuse(self, reason: str, message: str) -> None:
        """Counts a call that was refused or failed, and logs it with its running number."""
        with self._lock:
            number = self._by_reason[reason] = self._by_reason.get(reason, 0) + 1
        self._refused.labels(reason).inc()
        log.warning("refused", extra=fields(reason=reason, number=number, message=message))

    def refusals(self) -> dict[str, int]:
        """How many calls were refused, by reason."""
        with self._lock:
            return dict(self._by_reason)
