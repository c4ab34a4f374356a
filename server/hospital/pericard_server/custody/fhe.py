"""The hospital's FHE keys, and how they lie in a folder that only the hospital can read.

Only the evaluation key is ever sent to another domain; the secret key goes to the hospital's own workers.
`analysis.encryption` makes the keys.
"""

from dataclasses import dataclass, field
from pathlib import Path

from pericard_edge import files
from pericard_protocol.fhe.objects import MisshapenObject, check_relinearisation_key, key_fingerprint
from pericard_protocol.fhe.parameters import MOMENTS, CkksParameters
from pericard_server.errors import KeyFileError

_FILES = {"secret": "secret.key", "public": "public.key", "relinearisation": "relinearisation.key"}


@dataclass(frozen=True)
class FheKeys:
    """The three keys of one context, serialised by SEAL. Only `relinearisation` ever leaves the hospital."""

    parameters: CkksParameters
    secret: bytes = field(repr=False)
    public: bytes = field(repr=False)
    relinearisation: bytes = field(repr=False)

    @property
    def fingerprint(self) -> bytes:
        """The name of the evaluation key at the cloud, 32 bytes."""
        return key_fingerprint(self.parameters.name, self.relinearisation)


def save_fhe_keys(keys: FheKeys, folder: Path) -> None:
    """Writes the keys to a new folder: 0700, its files 0600.

    Raises:
        KeyFileError: the folder is there already; keys are never overwritten, for what they encrypt.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise KeyFileError(f"{folder} exists already: name another folder, or use the keys in it") from None
    for part, name in _FILES.items():
        files.write(folder / name, getattr(keys, part))


def load_fhe_keys(folder: Path, parameters: CkksParameters = MOMENTS) -> FheKeys:
    """The keys that `save_fhe_keys` wrote.

    Raises:
        FileError: one is missing, or its file is open to others.
        KeyFileError: one is of the wrong shape.
    """
    parts = {part: files.read_secret(folder / name, "FHE key") for part, name in _FILES.items()}
    keys = FheKeys(parameters, **parts)
    try:
        check_relinearisation_key(keys.relinearisation, parameters)
    except MisshapenObject as error:
        raise KeyFileError(f"{folder}: {error}") from None
    return keys
