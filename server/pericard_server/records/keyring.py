"""Data keys: one an owner and quarter, wrapped by the hospital's wrapping key, opened only in memory."""

import secrets
from collections.abc import Collection
from datetime import UTC, datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from pericard_server.errors import TamperedRow
from pericard_server.records.models import DataKey
from pericard_server.records.seal import DATA_KEY_BYTES

_NONCE_BYTES = 12


class Keyring:
    """Finds, makes and unwraps data keys. It holds the wrapping key; keep it out of every repr."""

    def __init__(self, wrapping_key: bytes) -> None:
        self._wrapping = AESGCMSIV(wrapping_key)
        # By the wrapped bytes, never by row number: a rolled-back transaction gives a number out again.
        self._unwrapped: dict[bytes, bytes] = {}

    def keys_for(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[DataKey, bytes]]:
        """The data key that seals the rows of each (owner, quarter); made at first use."""
        owners, quarters = {owner for owner, _ in wanted}, {quarter for _, quarter in wanted}
        rows = DataKey.objects.filter(owner__in=owners, quarter__in=quarters)
        found = {(row.owner, row.quarter): row for row in rows}
        for pair in wanted:
            if pair not in found:
                found[pair] = self._make(*pair)
        return {pair: (found[pair], self.unwrap(found[pair])) for pair in wanted}

    def _make(self, owner: str, quarter: str) -> DataKey:
        row = DataKey(owner=owner, quarter=quarter)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        data_key = secrets.token_bytes(DATA_KEY_BYTES)
        row.wrapped = nonce + self._wrapping.encrypt(nonce, data_key, _identity(row))
        row.save()
        return row

    def unwrap(self, row: DataKey) -> bytes:
        """The 32 bytes of a data key.

        Raises:
            TamperedRow: it was changed, moved to another owner, or wrapped by another hospital.
        """
        wrapped, identity = bytes(row.wrapped), _identity(row)
        if identity + wrapped not in self._unwrapped:
            try:
                opened = self._wrapping.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], identity)
            except (InvalidTag, ValueError):
                raise TamperedRow(f"data key {row.pk} does not unwrap: it was changed or moved") from None
            self._unwrapped[identity + wrapped] = opened
        return self._unwrapped[identity + wrapped]


def _identity(row: DataKey) -> bytes:
    return f"data key {row.quarter} {row.owner}".encode()


def quarter(at_us: int) -> str:
    """The calendar quarter (UTC) of a time in Unix microseconds, as in "2026-Q4"."""
    at = datetime.fromtimestamp(at_us / 1e6, UTC)
    return f"{at.year}-Q{(at.month + 2) // 3}"
