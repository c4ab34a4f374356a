"""Django's database from a URL: SQLite in a file of ours, or PostgreSQL."""

from urllib.parse import parse_qsl, unquote, urlsplit

from pericard_protocol.errors import UsageError


def database(url: str) -> dict[str, object]:
    """The `default` of Django's DATABASES.

    Args:
        url: `sqlite://` and an absolute path, or `postgresql://user:password@host:port/name?option=value`.

    Raises:
        UsageError: it is neither; the message does not repeat it, as it may hold a password.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": url.removeprefix("sqlite://"),
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",  # a read that turns into a write cannot then fail as busy
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    if parts.scheme in ("postgres", "postgresql"):
        options: dict[str, object] = dict(parse_qsl(parts.query))
        host = str(options.pop("host", "")) or parts.hostname or ""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.removeprefix("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": host,
            "PORT": str(parts.port or ""),
            "OPTIONS": options,
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
        }
    raise UsageError(f"DATABASE_URL must begin with sqlite:// or postgresql://, not {parts.scheme[:20]!r}")
