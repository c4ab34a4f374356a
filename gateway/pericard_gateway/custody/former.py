"""Gives back the leases that this gateway no longer uses: those of an earlier run, and replaced ones.

The KMS holds a key for known by a gateway until its lease ends, or until the gateway says that it dropped the
key. A process that was killed could not say so: the ids of its leases are kept in a file of the state folder,
and the next run gives them back. Only one process runs on a state folder, so the former one is gone by then.
"""

import json
from contextlib import suppress
from pathlib import Path

from pericard_edge import files
from pericard_edge.kms import KmsClient, KmsRefused

LEASES_FILE = "leases.json"


class FormerLeases:
    """The leases of one state folder that the KMS may believe to be in use."""

    def __init__(self, client: KmsClient, state: Path) -> None:
        """Reads and writes nothing yet: whoever only looks at a gateway gives no lease of it back."""
        self._client, self._file = client, state / LEASES_FILE
        self._known: frozenset[str] | None = None

    def give_back(self, held: str | None) -> None:
        """Remembers that the lease `held` is in use, and gives all others back.

        Raises:
            Unavailable: the KMS does not answer; what was not given back is remembered.
        """
        if self._known is None:
            self._known = self._read()
        current = frozenset[str]() if held is None else frozenset([held])
        if self._known == current:
            return
        self._remember(self._known | current)
        for lease in sorted(self._known - current):
            with suppress(KmsRefused):  # the KMS does not know it, or it was never ours: nobody waits for it
                self._client.call("POST", f"devices/leases/{lease}/reconcile", {"holds": []})
            self._remember(self._known - {lease})

    def _read(self) -> frozenset[str]:
        try:
            return frozenset(map(str, json.loads(files.read(self._file, "leases"))))
        except (files.FileError, ValueError):
            return frozenset()  # they end by themselves

    def _remember(self, known: frozenset[str]) -> None:
        self._known = known
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write(self._file, json.dumps(sorted(known)).encode())
