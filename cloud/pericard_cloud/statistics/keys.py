"""The evaluation keys that clients sent: in memory, by owner and fingerprint, a bounded number each."""

import threading
from collections import OrderedDict

from pericard_cloud.errors import NoSuchKey
from pericard_protocol.fhe.objects import check_relinearisation_key, key_fingerprint
from pericard_protocol.fhe.parameters import CkksParameters


class KeyStore:
    """Relinearisation keys. A client reaches only keys that it sent itself. Safe to use from many threads."""

    def __init__(self, per_client: int) -> None:
        self._per_client = per_client
        self._keys: dict[str, OrderedDict[tuple[str, bytes], bytes]] = {}
        self._lock = threading.Lock()

    def put(self, owner: str, parameters: CkksParameters, key: bytes) -> bytes:
        """Keeps the key; the owner's key unused for longest goes when there are too many.

        Returns:
            Its fingerprint, 32 bytes.

        Raises:
            MisshapenObject: it is no relinearisation key of these parameters.
        """
        check_relinearisation_key(key, parameters)
        fingerprint = key_fingerprint(parameters.name, key)
        with self._lock:
            keys = self._keys.setdefault(owner, OrderedDict())
            keys[parameters.name, fingerprint] = key
            keys.move_to_end((parameters.name, fingerprint))
            while len(keys) > self._per_client:
                keys.popitem(last=False)
        return fingerprint

    def get(self, owner: str, parameters: CkksParameters, fingerprint: bytes) -> bytes:
        """The owner's key of that fingerprint.

        Raises:
            NoSuchKey: the owner has no such key here, or it is of other parameters.
        """
        with self._lock:
            keys = self._keys.get(owner, OrderedDict())
            key = keys.get((parameters.name, fingerprint))
            if key is None:
                raise NoSuchKey("no such key of yours here: send it with PutKey, then the job again")
            keys.move_to_end((parameters.name, fingerprint))
            return key
