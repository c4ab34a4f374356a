"""Small records in the board's flash that are whole or refused, whatever moment the power fails at.

A record is SHA-256(body) ‖ body. It is written to a temporary file, flushed, and renamed over the old one:
LittleFS, which ESP32 boards use, makes both durable and the rename atomic. So a reader finds the old record
or the new one. It reads no second copy: a stale counter or key must never come back.
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
