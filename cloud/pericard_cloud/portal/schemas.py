"""The shapes of the API's answers, as its OpenAPI description has them."""

from datetime import datetime
from typing import Any

from ninja import Schema

from pericard_cloud.portal.models import PortalJob


class RefusalOut(Schema):
    """Why something is not done: a fixed word, and a sentence for a person."""

    reason: str
    message: str


class ModelShort(Schema):
    """A model in the list."""

    name: str
    digest: str
    kind: str
    task: str
    features: int
    classes: list[str]


class ModelOut(Schema):
    """A model."""

    manifest: dict[str, Any]
    card: dict[str, Any]


class KeysOut(Schema):
    """Public evaluation keys."""

    id: str
    fingerprint: str
    parameters: str
    created: datetime
    expires: datetime


class JobOut(Schema):
    """A job; `progress` goes from 0 to 1, `expires` is when its result is deleted."""

    id: str
    model: str
    key: str
    state: PortalJob.State
    progress: float
    rows: int
    error: str | None
    created: datetime
    finished: datetime | None
    expires: datetime | None


class QuotaOut(Schema):
    """Rows a day by one model."""

    model: str
    rows_per_day: int
    used: int


class AccountOut(Schema):
    """A user."""

    user: str
    quota: list[QuotaOut]
