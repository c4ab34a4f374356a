"""The patients, by pseudonym."""

from django.db.models import Count

from pericard_server.records.models import Patient


def register(pseudonym: str) -> None:
    """Makes the patient known; one who is known stays as they are."""
    Patient.objects.get_or_create(pseudonym=pseudonym)


def readings_of_each() -> dict[str, int]:
    """How many readings every patient has, by pseudonym and in its order."""
    counted = Patient.objects.annotate(readings=Count("reading")).order_by("pseudonym")
    return {one.pseudonym: one.readings for one in counted}
