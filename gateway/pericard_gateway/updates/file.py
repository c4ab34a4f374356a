"""Reads the signed firmware update that the configuration names."""

from pericard_edge import files
from pericard_gateway.config import UpdateSettings
from pericard_gateway.keyfiles import read_update_key
from pericard_protocol.device.update import Update, UpdateError, parse_update


def read_update(settings: UpdateSettings) -> Update:
    """The update, checked against the operator's key where the configuration names one.

    Raises:
        FileError: a file cannot be read, or the key is not one that signs updates.
        UpdateError: the file is damaged, or not signed by that key.
    """
    key = None if settings.key is None else read_update_key(settings.key)
    try:
        return parse_update(files.read(settings.path, "update"), key)
    except UpdateError as error:
        raise UpdateError(f"{settings.path}: {error}") from None
