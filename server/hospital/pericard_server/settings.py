"""Django's settings, from the environment: Django is storage here, and later the console's pages.

`DATABASE_URL` names the database (`sqlite://` and an absolute path); `pericard server` sets it from its
TOML configuration before Django starts.
"""

import os

from pericard_protocol.errors import UsageError


def _database(url: str) -> dict[str, object]:
    if not url.startswith("sqlite://"):
        raise UsageError(f"DATABASE_URL must begin with sqlite://, not {url.split(':', 1)[0]}:")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": url.removeprefix("sqlite://"),
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",  # a read that turns into a write cannot then fail as busy
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }


DATABASES = {"default": _database(os.environ.get("DATABASE_URL", "sqlite://:memory:"))}
INSTALLED_APPS = ["pericard_server.records", "pericard_server.fleet"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
SECRET_KEY = os.urandom(32).hex()  # signs nothing that outlives the process
