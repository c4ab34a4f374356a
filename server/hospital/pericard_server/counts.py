"""What the serving hospital counts for /metrics: records, frames, streams, refusals. No value, no name."""

from django.db import DatabaseError, connection
from prometheus_client import CollectorRegistry, Counter, Gauge

from pericard_edge.pages import Page, health_page
from pericard_server.records.store import Stored


class HospitalCounts:
    """The counts of one process. Safe to use from many threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"pericard_server_{name}", text, labels, registry=self.registry)

        self._records = counter("records", "Sealed records committed")
        self._bytes = counter("record_bytes", "Bytes of those records")
        self._frames = counter("frames", "Frames stored")
        self._duplicates = counter("frames_duplicate", "Frames that were stored before")
        self._refused = counter("refused", "What was refused", "reason")
        self._retries = counter("retries", "Records that the database could not take")
        #: What of ours kept the last record, or the last question for a key bundle, from being served.
        self.troubles: dict[str, str] = {}
        #: Streams of gateways that stand now.
        self.streams = Gauge("pericard_server_streams", "Streams of gateways", registry=self.registry)

    def commit(self, size: int, stored: Stored) -> None:
        """Counts a committed record of so many bytes."""
        self.troubles = {}
        self._records.inc()
        self._bytes.inc(size)
        self._frames.inc(stored.new)
        self._duplicates.inc(stored.duplicates)

    def refuse(self, reason: str) -> None:
        """Counts a refusal."""
        self._refused.labels(reason).inc()

    def retry(self, why: str) -> None:
        """Counts a record that its gateway has to send again, as the database did not take it."""
        self.troubles = {"storage": why}
        self._retries.inc()

    def no_keys(self, why: str) -> None:
        """Notes that the hospital's own keys cannot be had."""
        self.troubles = {"keys": why}

    def keys_had(self) -> None:
        """Notes that they can."""
        self.troubles = {what: why for what, why in self.troubles.items() if what != "keys"}


def health(counts: HospitalCounts) -> Page:
    """Unwell is a hospital that cannot use its database or its keys: every record waits at its gateway."""
    troubles = dict(counts.troubles)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        troubles["database"] = type(error).__name__
    finally:
        connection.close()  # each page may be made in another thread
    return health_page(troubles, bool(troubles))
