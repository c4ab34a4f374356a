"""The invitations that are out. A token is kept as its hash: who reads the database cannot enrol."""

from django.db import models


class Invited(models.Model):
    """A gateway that may enrol, until the invitation ends or was used by another key."""

    token_hash = models.BinaryField(primary_key=True, max_length=32)  # SHA-256; the token has 256 random bits
    gateway = models.CharField(max_length=64)
    ends_at = models.DateTimeField()
    used_by = models.BinaryField(null=True)  # the ML-DSA-65 key that redeemed it
