"""A throttle on what is worth guessing or flooding: logins, registrations.

An attempt is counted before it is made, in the database: attempts in parallel, in other processes or
after a restart are all counted, and a throttled password is not even looked at. Names and addresses are kept
only as keyed hashes, and only until their window ends.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from pericard_web.models import Attempts


class Throttled(Exception):
    """There were too many attempts; `seconds` until the next one is looked at."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many attempts: the next one in {seconds} seconds")
        self.seconds = seconds


@dataclass(frozen=True)
class Limit:
    """At most `most` attempts within `seconds`, counted from the first; `name` is what is attempted."""

    name: str
    most: int
    seconds: int

    def bucket(self, subject: str) -> str:
        """Where the attempts of `subject` are counted."""
        digest = salted_hmac("pericard_web.throttle", f"{self.name}\0{subject}", algorithm="sha256")
        return digest.hexdigest()


def take(limits: Sequence[tuple[Limit, str]]) -> None:
    """Counts one attempt against each (limit, subject), or against none.

    Raises:
        Throttled: one of them is used up.
    """
    now = timezone.now()
    Attempts.objects.filter(ends__lte=now).delete()
    with transaction.atomic():
        # In one order, so that two who take the same ones never wait for each other.
        for limit, subject in sorted(limits, key=lambda one: one[0].name):
            bucket = limit.bucket(subject)
            row, made = _row(bucket, limit)
            if made:
                continue
            free = Attempts.objects.filter(bucket=bucket, count__lt=limit.most)
            if not free.update(count=F("count") + 1):
                raise Throttled(max(1, int((row.ends - now).total_seconds())))


def _row(bucket: str, limit: Limit) -> tuple[Attempts, bool]:
    ends = timezone.now() + timedelta(seconds=limit.seconds)
    try:
        return Attempts.objects.get_or_create(bucket=bucket, defaults={"count": 1, "ends": ends})
    except IntegrityError:  # another made it, and it was swept away at once
        return Attempts(bucket=bucket, count=limit.most, ends=ends), False


def give_back(limits: Sequence[tuple[Limit, str]]) -> None:
    """Takes back what `take` counted: the attempt was an honest one."""
    buckets = [limit.bucket(subject) for limit, subject in limits]
    Attempts.objects.filter(bucket__in=buckets, count__gt=0).update(count=F("count") - 1)


def address(request: HttpRequest) -> str:
    """Whom a request is counted for: its IPv4 address, or its IPv6 network of 64 bits.

    Behind proxies (the setting `PROXIES`, how many) it is the address that the outermost of them saw; what
    a client itself wrote into X-Forwarded-For stands before that, and counts for nothing.
    """
    said = str(request.META.get("REMOTE_ADDR", ""))
    if proxies := int(getattr(settings, "PROXIES", 0)):
        hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
        said = hops[-proxies] if len(hops) >= proxies else said
    try:
        parsed = ipaddress.ip_address(said.strip("[]"))
    except ValueError:
        return "unknown"
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
