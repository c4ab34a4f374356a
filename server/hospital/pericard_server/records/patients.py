"""The patients, by pseudonym."""

import re

from django.db.models import Count

from pericard_protocol.errors import UsageError
from pericard_server.records.models import Patient

# What a pseudonym may be: a part of a path in the KMS, so nothing that has a meaning in one.
_PSEUDONYM = re.compile(r"\w(?:[\w.-]{0,62}\w)?", re.ASCII)


def register(pseudonym: str) -> None:
    """Makes the patient known; one who is known stays as they are.

    Raises:
        UsageError: not 1 to 64 ASCII letters, digits, `_`, and `.` or `-` inside.
    """
    if not _PSEUDONYM.fullmatch(pseudonym):
        raise UsageError("a pseudonym has 1 to 64 ASCII letters, digits and _, and . or - between them")
    Patient.objects.get_or_create(pseudonym=pseudonym)


def readings_of_each() -> dict[str, int]:
    """How many readings every patient has, by pseudonym and in its order."""
    counted = Patient.objects.annotate(readings=Count("reading")).order_by("pseudonym")
    return {one.pseudonym: one.readings for one in counted}
