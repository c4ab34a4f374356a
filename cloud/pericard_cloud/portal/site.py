"""Starts Django for the portal of one configuration file, and brings its database up to date."""

import os
from pathlib import Path

import django
from django.core.management import call_command


def open_site(path: Path) -> None:
    """Django with the settings of the file at `path`; the database is made, or migrated, where it has to be.

    What is imported after this may use Django's models; child processes find the same settings.

    Raises:
        ConfigError, FileError: the file is wrong, or something that it names.
    """
    set_up(path)
    call_command("migrate", verbosity=0)


def set_up(path: Path) -> None:
    """The same, and the database is left as it is."""
    os.environ["PERICARD_CLOUD_CONFIG"] = str(path.absolute())
    os.environ["DJANGO_SETTINGS_MODULE"] = "pericard_cloud.portal.settings"
    os.umask(0o077)  # the database and what users send are nobody else's to read
    django.setup()
