"""Tells the KMS which of the hospital's KEM keys this gateway still needs: none is destroyed meanwhile.

A key is needed while it is in use for sealing and while any record sealed to it waits in the spool. What is
held is remembered in a file of the state folder: a hold outlives a restart and is still released in the end.
"""

import json
from pathlib import Path

from pericard_edge import files
from pericard_edge.kms import KmsClient

HOLDS_FILE = "holds.json"


class Holds:
    """The holds of one gateway."""

    def __init__(self, client: KmsClient, gateway_id: str, state: Path) -> None:
        self._client, self._gateway_id, self._file = client, gateway_id, state / HOLDS_FILE
        try:
            self.held = frozenset(map(str, json.loads(files.read(self._file, "holds"))))
        except (files.FileError, ValueError):
            self.held = frozenset[str]()  # what we forgot to release, an operator can

    def update(self, needed: frozenset[str]) -> None:
        """Holds what is needed and not held, then releases what is held and not needed.

        Raises:
            KmsRefused, Unavailable: what was done until then is remembered.
        """
        for key_id in sorted(needed - self.held):
            self._post("hold", key_id)
            self._remember(self.held | {key_id})
        for key_id in sorted(self.held - needed):
            self._post("release", key_id)
            self._remember(self.held - {key_id})

    def _post(self, act: str, key_id: str) -> None:
        self._client.call("POST", f"bundles/keys/{key_id}/{act}", {"gateway": self._gateway_id})

    def _remember(self, held: frozenset[str]) -> None:
        self.held = held
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write(self._file, json.dumps(sorted(held)).encode())
