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
