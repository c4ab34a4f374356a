"""What the hospital stores. The columns that queries need are clear; every payload is sealed (`seal`).

A patient is here and not with the fleet, because readings, data keys and the access log belong to patients
and outlive every device.
"""

from django.db import models


class Patient(models.Model):
    """A person, by pseudonym only."""

    pseudonym = models.CharField(max_length=64, primary_key=True)


class DataKey(models.Model):
    """A wrapped 32-byte data key: one for each owner (a patient, or an unassigned device) and quarter."""

    owner = models.CharField(max_length=80)
    quarter = models.CharField(max_length=7)  # "2026-Q4"
    wrapped = models.BinaryField()

    class Meta:
        """One key an owner and quarter."""

        constraints = (models.UniqueConstraint(fields=["owner", "quarter"], name="one_data_key_per_quarter"),)


class Reading(models.Model):
    """One device frame, its payload sealed and bound to every other column."""

    device = models.BigIntegerField()
    epoch = models.IntegerField()
    boot = models.BigIntegerField()
    seq = models.BigIntegerField()
    type = models.SmallIntegerField()
    received_at_us = models.BigIntegerField()  # Unix microseconds, by the gateway's clock
    # Unix microseconds, by ours, when the frame came first; null where an earlier release stored it.
    arrived_at_us = models.BigIntegerField(null=True)
    patient = models.ForeignKey(Patient, null=True, on_delete=models.PROTECT)
    key = models.ForeignKey(DataKey, on_delete=models.PROTECT)
    suite = models.CharField(max_length=20)
    sealed = models.BinaryField()

    class Meta:
        """A frame is stored once."""

        constraints = (
            models.UniqueConstraint(fields=["device", "epoch", "boot", "seq"], name="one_row_per_frame"),
        )
        indexes = (models.Index(fields=["patient", "received_at_us"]),)


class Refusal(models.Model):
    """How often something was refused, by reason; kept over restarts."""

    reason = models.CharField(max_length=40, primary_key=True)
    count = models.BigIntegerField(default=0)


class Access(models.Model):
    """Who opened whose readings, when and why."""

    at = models.DateTimeField(auto_now_add=True)
    who = models.CharField(max_length=64)
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT)
    rows = models.IntegerField()
    why = models.CharField(max_length=200)
    quarantined = models.BooleanField(default=False)  # whether readings in quarantine were asked for, too
