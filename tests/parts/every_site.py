"""Settings of no site: the apps of all, so that one run of mypy knows every model."""

from pericard_cloud.portal import settings as portal
from pericard_cloud.portal.settings import *  # noqa: F403
from pericard_server import settings as hospital

INSTALLED_APPS = [*hospital.INSTALLED_APPS, *portal.INSTALLED_APPS]
