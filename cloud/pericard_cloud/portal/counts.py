"""What the portal counts: jobs, rows, times, and refusals by reason. Never values, never users.

The site's process and the one that runs the jobs count into files of one folder (prometheus_client's
multi-process mode), whose sums /metrics shows.
"""

import logging
from functools import cache

from prometheus_client import CollectorRegistry, Counter

from pericard_edge.jsonlog import fields

_log = logging.getLogger("pericard.portal")


class Counts:
    """The counts of one process."""

    def __init__(self) -> None:
        # Nobody reads this registry: what is shown is collected from the files of all processes.
        registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"pericard_portal_{name}", text, labels, registry=registry)

        self._jobs = counter("jobs", "Jobs whose result was stored")
        self._rows = counter("rows", "Rows in those jobs")
        self._seconds = counter("job_seconds", "Time from a job's start to its stored result")
        self._failed = counter("jobs_failed", "Jobs without a result", "why")
        self._refused = counter("refused", "Requests and logins refused", "reason")

    def finish_job(self, rows: int, seconds: float) -> None:
        """Counts a job whose result is stored."""
        self._jobs.inc()
        self._rows.inc(rows)
        self._seconds.inc(seconds)

    def fail_job(self, why: str) -> None:
        """Counts a job that failed."""
        self._failed.labels(why).inc()

    def refuse(self, reason: str, message: str) -> None:
        """Counts and logs a request that was refused."""
        self._refused.labels(reason).inc()
        _log.warning("refused", extra=fields(reason=reason, message=message))


@cache
def counts() -> Counts:
    """This process's."""
    return Counts()
