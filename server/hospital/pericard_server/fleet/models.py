"""The hospital's gateways, the invitations that are out, and which device serves which patient."""

from django.db import models


class Gateway(models.Model):
    """A gateway that may deliver; its name is the one in its certificate."""

    name = models.CharField(max_length=64, primary_key=True)
    verifying_key = models.BinaryField()  # ML-DSA-65, raw, 1,952 bytes
    registered_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True)


class Invited(models.Model):
    """A gateway that may enrol, until the invitation ends or was used by another key.

    The token is kept as its hash: who reads the database cannot enrol.
    """

    token_hash = models.BinaryField(primary_key=True, max_length=32)  # SHA-256; the token has 256 random bits
    gateway = models.CharField(max_length=64)
    ends_at = models.DateTimeField()
    used_by = models.BinaryField(null=True)  # the ML-DSA-65 key that redeemed it


class Assignment(models.Model):
    """A device serves a patient from a time to a time (open while `until` is null)."""

    device = models.BigIntegerField()
    patient = models.ForeignKey("records.Patient", on_delete=models.PROTECT, related_name="assignments")
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)

    class Meta:
        """One open assignment a device."""

        constraints = (
            models.UniqueConstraint(
                fields=["device"], condition=models.Q(until=None), name="one_open_assignment_per_device"
            ),
        )


class Loss(models.Model):
    """A device was lost from a time on; with `until_us`, it was found and got a new key then.

    Until it is found its new frames are refused. Its readings of the time between are in quarantine. An
    operator's release ends that for the rows stored by then, up to number `released_through`; rows that come
    later are in quarantine until the next release.
    """

    device = models.BigIntegerField()
    since_us = models.BigIntegerField()  # Unix microseconds, as `Reading.received_at_us`
    until_us = models.BigIntegerField(null=True)
    who = models.CharField(max_length=64)  # said so: an operator, or "the KMS"
    why = models.CharField(max_length=200)
    released_through = models.BigIntegerField(default=0)  # the newest reading at the release; 0 before one
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=64)
    released_why = models.CharField(max_length=200)

    class Meta:
        """A loss is known by its device and its beginning; it also finds a device's losses."""

        constraints = (models.UniqueConstraint(fields=["device", "since_us"], name="one_row_per_loss"),)
