"""What the KMS counts for /metrics: answers by status, commits, connections. No path, no name, no key.

Whoever looks needs no token, unlike at Vault's sys/metrics: nothing is counted by client or key, and the
pages are on a loopback address of their own, never at the API's.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pericard_edge.pages import Page, health_page


class KmsCounts:
    """The counts of one process: one thread counts, another reads when it is asked for a page."""

    def __init__(self, sealed: Callable[[], bool]) -> None:
        self._sealed = sealed
        self.answers: Counter[int] = Counter()  # by HTTP status
        self.commits = self.failed_commits = 0
        self.storage_fails = False  # the last commit did
        self.connections = self.refused_connections = 0
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for at every scrape."""
        answers = CounterMetricFamily("pericard_kms_answers", "Answers, by HTTP status", labels=["status"])
        for status, number in sorted(list(self.answers.items())):  # copied first: another thread counts
            answers.add_metric([str(status)], number)
        yield answers
        for name, text, value in (
            ("commits", "Groups of requests committed together", self.commits),
            ("commits_failed", "Groups that the store did not take", self.failed_commits),
            ("connections_refused", "Connections refused: too many were open", self.refused_connections),
        ):
            yield CounterMetricFamily(f"pericard_kms_{name}", text, value=value)
        yield GaugeMetricFamily("pericard_kms_connections", "Open connections", value=self.connections)
        yield GaugeMetricFamily("pericard_kms_sealed", "1 while it is sealed", value=int(self._sealed()))

    def health(self) -> Page:
        """Unwell is a KMS that is sealed, or whose last commit failed: it serves nobody."""
        troubles = {"kms": "sealed"} if self._sealed() else {}
        if self.storage_fails:
            troubles["store"] = "the last write failed"
        return health_page(troubles, bool(troubles))
