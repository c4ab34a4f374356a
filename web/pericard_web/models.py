"""The throttle's table."""

from django.db import models


class Attempts(models.Model):
    """How often something was tried in a window of time. Who tried is not in it, only a keyed hash."""

    bucket = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField()
    ends = models.DateTimeField(db_index=True)
