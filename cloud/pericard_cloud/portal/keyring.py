"""A user's evaluation keys: taken, listed, revoked. What is stored is public: the secret key never comes."""

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from pericard_cloud.portal.errors import KeysKnown, NotYours, TooManyKeys
from pericard_cloud.portal.models import EvaluationKeys, User
from pericard_cloud.portal.store import Store, Upload
from pericard_protocol.prediction import objects


class EvaluationKeyring:
    """The keys of all users, each user's only for that user."""

    def __init__(self, store: Store, most: int, days: float) -> None:
        self._store, self._most, self._days = store, most, days

    def of(self, user: User) -> QuerySet[EvaluationKeys]:
        """The keys that a user can send queries under."""
        return user.evaluation_keys.filter(revoked__isnull=True, expires__gt=timezone.now()).order_by(
            "-created"
        )

    def find(self, user: User, key_id: str) -> EvaluationKeys:
        """One of them.

        Raises:
            NotYours: there is none with this id.
        """
        found = self.of(user).filter(pk=key_id).first()
        if found is None:
            raise NotYours(_("You have no such keys, or they are over."))
        return found

    def add(self, user: User, upload: Upload) -> EvaluationKeys:
        """Takes keys that a user sent.

        Raises:
            PeerError: they are no keys, are here already, or the user has too many.
        """
        parsed = objects.parse_keys(upload.read())
        now = timezone.now()
        with transaction.atomic():
            User.objects.select_for_update().get(pk=user.pk)  # two uploads at once are counted one by one
            self.end_expired(user)
            if self.of(user).count() >= self._most:
                raise TooManyKeys(
                    _("You have %(most)d keys, as many as one may have: delete one first.")
                    % {"most": self._most}
                )
            try:
                with transaction.atomic():
                    keys = EvaluationKeys.objects.create(
                        user=user,
                        fingerprint=parsed.fingerprint.hex(),
                        parameters=parsed.parameters.number,
                        size=upload.size,
                        created=now,
                        expires=now + timedelta(days=self._days),
                    )
            except IntegrityError:
                raise KeysKnown(_("These keys are here already.")) from None
            upload.keep("keys", keys.pk)
        return keys

    def revoke(self, user: User, key_id: str) -> None:
        """Ends keys: their file is deleted, and jobs that wait for it fail.

        Raises:
            NotYours: there are none with this id.
        """
        self._end(self.find(user, key_id))

    def end_expired(self, user: User | None = None) -> None:
        """Ends the keys whose time is over, of one user or of all."""
        expired = EvaluationKeys.objects.filter(revoked__isnull=True, expires__lte=timezone.now())
        for keys in expired if user is None else expired.filter(user=user):
            self._end(keys)

    def _end(self, keys: EvaluationKeys) -> None:
        EvaluationKeys.objects.filter(pk=keys.pk).update(revoked=timezone.now())
        self._store.delete("keys", keys.pk)
