"""The user's keys and the manifests of models, in a folder that only the user may read.

`keys/NAME.json` is a key export (secret, sealed under a passphrase), `keys/NAME.pck` the container of public
keys, `models/DIGEST.json` a manifest that something was encrypted for, so that a reply finds it.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pericard_client.errors import KeyTrouble
from pericard_client.export import KeyExport
from pericard_edge import files
from pericard_protocol.prediction import objects
from pericard_protocol.prediction.manifest import Manifest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class StoredKey:
    """A key of the ring: `export` is sealed; `public` is empty where only the secret key was imported."""

    name: str
    export: KeyExport
    public: bytes


class Keyring:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self._keys, self._models = folder / "keys", folder / "models"

    def names(self) -> list[str]:
        """The keys' names, in order."""
        return sorted(path.stem for path in self._keys.glob("*.json"))

    def add(self, name: str, export: KeyExport, public: bytes = b"") -> None:
        """Keeps a key; mode 0600.

        Raises:
            KeyTrouble: the name cannot be one, or is taken.
        """
        path = self._path(name)
        if path.exists():
            raise KeyTrouble(f"there is a key {name} already: choose another name, or delete that one")
        _make(self._keys)
        if public:
            files.write(path.with_suffix(".pck"), public)
        files.write(path, export.to_json())

    def get(self, name: str) -> StoredKey:
        """A key.

        Raises:
            KeyTrouble: there is none of that name.
        """
        path = self._path(name)
        if not path.exists():
            known = ", ".join(self.names()) or "none yet: make one with `keys new NAME`"
            raise KeyTrouble(f"there is no key {name}; there are: {known}")
        public = path.with_suffix(".pck")
        held = files.read_secret(public, "public keys") if public.exists() else b""
        return StoredKey(name, KeyExport.from_json(files.read_secret(path, "key")), held)

    def of(self, fingerprint: bytes) -> StoredKey:
        """The key of that fingerprint.

        Raises:
            KeyTrouble: it is not here.
        """
        for name in self.names():
            if (found := self.get(name)).export.fingerprint == fingerprint.hex():
                return found
        raise KeyTrouble(
            f"no key here has the fingerprint {fingerprint.hex()[:16]}…: import the one it was made with"
        )

    def delete(self, name: str) -> None:
        """Deletes a key: what was encrypted under it can never be opened again.

        Raises:
            KeyTrouble: there is none of that name.
        """
        path = self._path(name)
        self.get(name)
        path.with_suffix(".pck").unlink(missing_ok=True)
        path.unlink()

    def remember(self, manifest: Manifest) -> None:
        """Keeps a manifest, so that `model_of` finds it."""
        _make(self._models)
        files.write(self._models / f"{manifest.digest}.json", manifest.to_json().encode())

    def model_of(self, reply: bytes) -> Manifest:
        """The manifest of the model that a query or reply names.

        Raises:
            PeerError: it is neither.
            KeyTrouble: the manifest is not here.
        """
        _, digest = objects.belongs_to(reply)
        path = self._models / f"{digest}.json"
        if not path.exists():
            raise KeyTrouble(
                "nothing was encrypted here for this reply's model: name its manifest with --model"
            )
        return Manifest.from_json(files.read(path, "manifest"))

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise KeyTrouble(
                "a key's name has 1 to 64 of A-Z, a-z, 0-9, _ and -, and begins with none of the last two"
            )
        return self._keys / f"{name}.json"


def _make(folder: Path) -> None:
    for one in (folder.parent, folder):
        one.mkdir(parents=True, exist_ok=True)
        os.chmod(one, 0o700)
