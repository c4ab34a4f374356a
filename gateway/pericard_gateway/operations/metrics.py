"""The gateway's counts for Prometheus. They are read when Prometheus asks: frames pay nothing for it."""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pericard_gateway.operations.health import Snapshot
from pericard_gateway.updates.rollout import Rollout
from pericard_gateway.updates.state import UpdateState


class GatewayMetrics(Collector):
    """Registered with Prometheus's registry, which asks it for every count."""

    def __init__(self, snapshot: Callable[[], Snapshot], rollout: Rollout | None) -> None:
        self._snapshot, self._rollout = snapshot, rollout

    def collect(self) -> Iterator[Metric]:
        """Every metric of the moment."""
        now = self._snapshot()
        counts, depth = now.counts, now.spool
        accepted = CounterMetricFamily(
            "pericard_gateway_frames_accepted", "Authentic, fresh frames", labels=["device"]
        )
        for device, frames in list(counts.devices.items()):
            accepted.add_metric([str(device)], frames.accepted)
        yield accepted
        rejected = CounterMetricFamily(
            "pericard_gateway_frames_rejected", "Frames not accepted", labels=["reason"]
        )
        for reason, count in list(counts.rejected.items()):
            rejected.add_metric([reason], count)
        yield rejected
        stages = CounterMetricFamily(
            "pericard_gateway_stage_seconds", "Time spent, by stage", labels=["stage"]
        )
        for stage, milliseconds in counts.stage_ms.items():
            stages.add_metric([stage], milliseconds / 1e3)
        yield stages
        for name, text, value in (
            ("bytes_in", "Bytes read from the ports", counts.bytes_in),
            ("bytes_out", "Bytes of messages sent to the hospital", counts.bytes_out),
            ("frames_acked", "Frames that the hospital has committed", counts.acked_frames),
            ("records_acked", "Records that the hospital has committed", counts.acked_records),
            ("records_refused", "Records and bundles refused, either way", sum(counts.refused.values())),
            ("reconnects", "Attempts to connect to the hospital again", counts.reconnects),
            ("port_errors", "Times that a port was lost or could not be opened", counts.port_errors),
        ):
            yield CounterMetricFamily(f"pericard_gateway_{name}", text, value=value)
        for name, text, level in (
            ("spool_records", "Records that wait for the hospital", depth.records),
            ("spool_frames", "Frames that wait for the hospital", depth.frames),
            ("spool_bytes", "Bytes of sealed records on disk", depth.bytes),
            ("spool_refused_records", "Records kept aside", depth.refused_records),
            (
                "devices_not_lent",
                "Configured devices whose key the KMS does not lend",
                len(counts.not_lent),
            ),
            ("uplink_up", "1 while the stream to the hospital stands", int(now.uplink == "up")),
        ):
            yield GaugeMetricFamily(f"pericard_gateway_{name}", text, value=level)
        if self._rollout is not None:
            yield from _update_metrics(self._rollout)


def _update_metrics(rollout: Rollout) -> Iterator[Metric]:
    devices = GaugeMetricFamily(
        "pericard_gateway_update_devices", "Devices by their way to the update", labels=["state"]
    )
    states = Counter(node.state for node in rollout.nodes.values())
    for state in UpdateState:
        devices.add_metric([state], states[state])
    yield devices
    failures = CounterMetricFamily(
        "pericard_gateway_update_failures", "Attempts to update a device that failed", labels=["reason"]
    )
    for reason, count in rollout.failures.items():
        failures.add_metric([reason], count)
    yield failures
    yield CounterMetricFamily("pericard_gateway_updated", "Devices brought up to date", value=rollout.updated)
    yield GaugeMetricFamily(
        "pericard_gateway_update_version", "The update's version", value=rollout.update.version
    )
