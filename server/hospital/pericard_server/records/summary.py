"""What is stored and what was refused, for the operator. Opens no reading."""

from dataclasses import dataclass

from django.db.models import Count

from pericard_server.fleet.losses import in_quarantine
from pericard_server.records.models import Reading, Refusal


@dataclass(frozen=True)
class Summary:
    """Numbers of readings: all, of no patient, in quarantine, of each device; and of refusals by reason."""

    stored: int
    unassigned: int
    quarantined: int
    devices: dict[str, int]
    refused: dict[str, int]


def summarise() -> Summary:
    """The numbers as they are now."""
    per_device = Reading.objects.values("device").annotate(rows=Count("pk")).order_by("device")
    return Summary(
        stored=Reading.objects.count(),
        unassigned=Reading.objects.filter(patient=None).count(),
        quarantined=Reading.objects.filter(in_quarantine()).count(),
        devices={str(row["device"]): row["rows"] for row in per_device},
        refused=dict(Refusal.objects.values_list("reason", "count")),
    )
