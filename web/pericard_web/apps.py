"""Makes this package known to Django."""

from django.apps import AppConfig


class Web(AppConfig):
    """Templates, style, the throttle's table."""

    name = "pericard_web"
    label = "web"
    default_auto_field = "django.db.models.BigAutoField"
