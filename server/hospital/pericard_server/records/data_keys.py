"""Data keys: one an owner and quarter, stored wrapped, opened only in memory."""

from collections.abc import Collection
from datetime import UTC, datetime

from pericard_server.custody.keys import Wrapping
from pericard_server.records.models import DataKey


class DataKeys:
    """Finds, makes and unwraps data keys; keeps the unwrapped in memory, and shows none in its repr."""

    def __init__(self, wrapping: Wrapping) -> None:
        self._wrapping = wrapping
        # By the wrapped bytes, never by row number: a rolled-back transaction gives a number out again.
        self._unwrapped: dict[tuple[str, str, bytes], bytes] = {}

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
        data_key, wrapped = self._wrapping.new_key(owner, quarter)
        self._unwrapped[owner, quarter, wrapped] = data_key
        return DataKey.objects.create(owner=owner, quarter=quarter, wrapped=wrapped)

    def unwrap(self, row: DataKey) -> bytes:
        """The 32 bytes of a data key.

        Raises:
            TamperedRow: it was changed, moved to another owner, or wrapped by another hospital.
        """
        place = (row.owner, row.quarter, bytes(row.wrapped))
        if place not in self._unwrapped:
            self._unwrapped[place] = self._wrapping.unwrap(*place)
        return self._unwrapped[place]


def quarter(at_us: int) -> str:
    """The calendar quarter (UTC) of a time in Unix microseconds, as in "2026-Q4"."""
    at = datetime.fromtimestamp(at_us / 1e6, UTC)
    return f"{at.year}-Q{(at.month + 2) // 3}"
