"""Rows that a user may have predicted a day by each model, charged in the transaction that makes the job.

The count is raised and compared in one UPDATE: requests in parallel cannot both take the last rows.
"""

from datetime import UTC, date, datetime, time, timedelta

from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from pericard_cloud.portal.errors import QuotaUsed
from pericard_cloud.portal.models import Use, User


def today() -> date:
    """The day that is charged."""
    return timezone.now().astimezone(UTC).date()


def seconds_left() -> int:
    """Until the next day begins."""
    tomorrow = datetime.combine(today() + timedelta(days=1), time(), UTC)
    return max(1, int((tomorrow - timezone.now()).total_seconds()))


def used(user: User, model: str) -> int:
    """The rows of today."""
    found = Use.objects.filter(user=user, model=model, day=today()).first()
    return found.rows if found else 0


def charge(user: User, model: str, rows: int, allowed: int) -> None:
    """Takes `rows` of today's; called within a transaction, which gives them back if it fails.

    Raises:
        QuotaUsed: so many are not left.
    """
    use, _made = Use.objects.get_or_create(user=user, model=model, day=today())
    free = Use.objects.filter(pk=use.pk, rows__lte=allowed - rows)
    if not free.update(rows=F("rows") + rows):
        left = max(0, allowed - used(user, model))
        raise QuotaUsed(
            _("This query has %(rows)d rows, and %(left)d of today's are left for this model.")
            % {"rows": rows, "left": left}
        )
