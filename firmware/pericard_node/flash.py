"""Small records in the board's flash: a reader gets a whole one or an error, whenever the power fails.

A record is SHA-256(body) ‖ body. It is written to a temporary file, flushed, and renamed over the old one:
LittleFS, an ESP32's file system, makes both durable, and a rename happens whole or not at all. So a reader
finds the old record or the new one. There is no second copy to fall back to: a counter or a key that is
out of date must never be used again.
"""

import hashlib
import os

_DIGEST_BYTES = 32
_MAX_BYTES = 4096


class Damaged(Exception):
    """The record is missing, cut short or changed."""


def exists(path):
    """Whether there is such a file."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def read(path):
    """The body of the record at `path`. Raises Damaged."""
    try:
        with open(path, "rb") as file:
            record = file.read(_MAX_BYTES)
    except OSError:
        raise Damaged(path + " is missing")
    body = record[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != record[:_DIGEST_BYTES]:
        raise Damaged(path + " is damaged")
    return body


def write(path, body):
    """Replaces the record at `path`; when this returns, the new one is durable."""
    temporary = path + ".new"
    with open(temporary, "wb") as file:
        file.write(hashlib.sha256(body).digest() + body)
        file.flush()
    os.rename(temporary, path)
    if hasattr(os, "sync"):
        os.sync()
