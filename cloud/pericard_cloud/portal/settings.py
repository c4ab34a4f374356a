"""Django's settings of the portal: from the TOML file that PERICARD_CLOUD_CONFIG in the environment names.

`pericard cloud portal` sets that variable before Django starts; the web server's process reads the file
again by it. Without it these are the settings of no portal that runs, for tools that read the types.
"""

import os
import secrets
from pathlib import Path

from pericard_cloud.config import load_portal
from pericard_cloud.portal.config import PortalSettings
from pericard_web.database import database
from pericard_web.defaults import *  # noqa: F403
from pericard_web.defaults import HSTS_SECONDS
from pericard_web.secret import secret_key

_file = os.environ.get("PERICARD_CLOUD_CONFIG")
PORTAL = load_portal(Path(_file)) if _file else PortalSettings()

if _file:
    PORTAL.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    SECRET_KEY = secret_key(PORTAL.folder / "secret")
else:
    SECRET_KEY = secrets.token_urlsafe(64)
DATABASES = {
    "default": database(
        os.environ.get("DATABASE_URL") or PORTAL.database or f"sqlite://{PORTAL.folder.resolve()}/portal.db"
    )
}
INSTALLED_APPS = [
    "pericard_cloud.portal",
    "pericard_web",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
AUTH_USER_MODEL = "portal.User"
ROOT_URLCONF = "pericard_cloud.portal.urls"
WSGI_APPLICATION = "pericard_cloud.portal.wsgi.application"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "models"
LOGOUT_REDIRECT_URL = "models"

DEBUG = False
ALLOWED_HOSTS = PORTAL.hosts
PROXIES = PORTAL.proxies
UPLOAD_PATHS = ["/api/v1/keys", "/api/v1/jobs"]
WASM_PATHS = ["/static/portal/browser/"]

# Without TLS it serves this machine only (`config.py`), where some browsers refuse cookies marked secure.
if PORTAL.encrypted:
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = HSTS_SECONDS
if PORTAL.proxies:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
