"""Makes this package known to Django."""

from django.apps import AppConfig


class PortalApp(AppConfig):
    """Users, keys, jobs."""

    name = "pericard_cloud.portal"
    label = "portal"
    default_auto_field = "django.db.models.BigAutoField"
