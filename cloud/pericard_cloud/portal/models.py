"""What the portal's database holds: users, tokens, public keys, jobs, and how many rows were asked for.

No feature, no prediction and no secret key is in it: the site never has them. Keys, queries and results
themselves are files (`store.py`), under the ids of their rows.
"""

import secrets
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

ID_LENGTH = 32


def new_id() -> str:
    """128 random bits in hex: the name of a row and of its file, that nobody guesses."""
    return secrets.token_hex(ID_LENGTH // 2)


class Users(BaseUserManager["User"]):
    """Finds users whatever the case of their name."""

    def get_by_natural_key(self, username: str | None) -> "User":
        """The user of this name."""
        return self.get(name__iexact=username or "")

    def create(self, *, name: str, password: str) -> "User":  # type: ignore[override]
        """A new user, saved."""
        user = self.model(name=name)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person who asks for predictions. Their name is all that is known of them: no address, no mail."""

    name = models.CharField(
        _("name"),
        max_length=64,
        unique=True,
        validators=[
            RegexValidator(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z", _("Use letters, digits, dots and dashes."))
        ],
        help_text=_("Up to 64 letters, digits, dots and dashes."),
    )
    is_active = models.BooleanField(default=True)
    joined = models.DateTimeField(default=timezone.now)

    objects: ClassVar[Users] = Users()
    USERNAME_FIELD = "name"

    class Meta:
        """The table's constraints and order."""

        constraints = (
            models.UniqueConstraint(
                Lower("name"), name="one_user_a_name", violation_error_message=_("This name is taken.")
            ),
        )


class ApiToken(models.Model):
    """What a program logs in with. Only its hash is kept: it is shown once, when it is made."""

    user = models.ForeignKey(User, models.CASCADE, related_name="tokens")
    name = models.CharField(_("name"), max_length=64)
    digest = models.CharField(max_length=64, unique=True)
    created = models.DateTimeField(default=timezone.now)
    used = models.DateTimeField(null=True)


class EvaluationKeys(models.Model):
    """The public keys under which a user's queries are computed on."""

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id)
    user = models.ForeignKey(User, models.CASCADE, related_name="evaluation_keys")
    fingerprint = models.CharField(max_length=64)
    parameters = models.PositiveSmallIntegerField()
    size = models.PositiveIntegerField()
    created = models.DateTimeField(default=timezone.now)
    expires = models.DateTimeField()
    revoked = models.DateTimeField(null=True)

    class Meta:
        """The table's constraints and order."""

        constraints = (
            models.UniqueConstraint(
                fields=["user", "fingerprint"],
                condition=models.Q(revoked__isnull=True),
                name="keys_once_a_user",
            ),
        )


class PortalJob(models.Model):
    """One query, from its upload to its result."""

    class State(models.TextChoices):
        """Where it stands."""

        QUEUED = "queued", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    class Failure(models.TextChoices):
        """Why it has no result."""

        WORKER = "worker", _("The computation did not end: the process that did it was stopped.")
        MODEL = "model", _("The model was changed or taken away since the query was sent: encrypt again.")
        KEYS = "keys", _("The keys were revoked before the computation ended.")
        FILES = "files", _("The stored query cannot be read any more: send it again.")
        STARTS = "starts", _("The site stopped several times while it computed this: it was given up.")

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id)
    user = models.ForeignKey(User, models.CASCADE, related_name="jobs")
    keys = models.ForeignKey(EvaluationKeys, models.PROTECT, related_name="jobs")
    model = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)  # of the model's manifest when the query was sent
    columns = models.BooleanField()  # one row of data a slot, else one ciphertext a row
    rows = models.PositiveIntegerField()
    size = models.PositiveIntegerField()  # of the query, in bytes
    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    rows_done = models.PositiveIntegerField(default=0)
    result_size = models.PositiveBigIntegerField(default=0)  # while it runs: of what is kept of it so far
    error = models.CharField(max_length=8, choices=Failure, blank=True, default="")
    detail = models.CharField(max_length=300, default="")  # of the failure, for whoever looks for its cause
    created = models.DateTimeField(default=timezone.now)
    finished = models.DateTimeField(null=True)
    expires = models.DateTimeField(null=True)  # when its result goes
    runner = models.CharField(max_length=ID_LENGTH, default="")  # who computes it
    alive = models.DateTimeField(null=True)  # when the runner last said that it does
    starts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        """The table's constraints and order."""

        ordering = ("-created",)
        indexes = (
            models.Index(fields=["state", "created"], name="job_queue"),
            models.Index(fields=["user", "-created"], name="job_history"),
        )

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        return 1.0 if self.state == self.State.DONE else min(self.rows_done / self.rows, 0.99)

    @property
    def waits(self) -> bool:
        """Whether it is not at its end."""
        return self.state in (self.State.QUEUED, self.State.RUNNING)

    @property
    def result_kept(self) -> bool:
        """Whether its result can be had."""
        return self.state == self.State.DONE and self.expires is not None and self.expires > timezone.now()


class Use(models.Model):
    """The rows that a user sent to a model on one day (UTC); what became of them changes nothing."""

    user = models.ForeignKey(User, models.CASCADE, related_name="uses")
    model = models.CharField(max_length=64)
    day = models.DateField()
    rows = models.PositiveIntegerField(default=0)

    class Meta:
        """The table's constraints and order."""

        constraints = (models.UniqueConstraint(fields=["user", "model", "day"], name="one_count_a_day"),)
