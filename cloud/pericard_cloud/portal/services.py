"""What the site's views work with, made once a process from its settings."""

from dataclasses import dataclass
from functools import cache

from django.conf import settings

from pericard_cloud.portal.catalogue import Catalogue
from pericard_cloud.portal.config import PortalSettings
from pericard_cloud.portal.history import History
from pericard_cloud.portal.keyring import EvaluationKeyring
from pericard_cloud.portal.store import Store


@dataclass(frozen=True)
class Services:
    """Models, keys, jobs and their files."""

    portal: PortalSettings
    store: Store
    catalogue: Catalogue
    keyring: EvaluationKeyring
    history: History


@cache
def services() -> Services:
    """This process's."""
    portal: PortalSettings = settings.PORTAL
    store = Store(portal.folder)
    keyring = EvaluationKeyring(store, portal.limits.keys, portal.limits.key_days)
    return Services(portal, store, Catalogue(portal.models), keyring, History(portal, store))
