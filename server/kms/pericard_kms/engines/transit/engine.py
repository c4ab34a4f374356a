"""The transit engine of a mount: which path does what. The work is in the modules beside this one."""

from typing import Any

from pericard_kms.engines.key_box import KeyBox
from pericard_kms.engines.keys import Key
from pericard_kms.engines.transit.encapsulation import Encapsulation
from pericard_kms.engines.transit.encryption import Encryption
from pericard_kms.engines.transit.key_paths import KeyPaths
from pericard_kms.engines.transit.lifecycle import Lifecycle
from pericard_kms.engines.transit.signing import Signing
from pericard_kms.engines.transit.tools import hashed, random_bytes
from pericard_kms.engines.transit.transfer import KeyTransferPaths
from pericard_kms.routing import Request, Response, Routes
from pericard_kms.storage.sealed_store import SealedStore


class TransitEngine:
    """The routes of a `transit` mount, over one box of keys."""

    def __init__(self, store: SealedStore, mount: str) -> None:
        def note_rotation(key: Key, reason: str) -> None:
            store.note_event(f"rotated {key.name} to version {key.latest}: {reason}")

        self._boxes = (KeyBox(store, mount, note_rotation), KeyBox(store, mount + "/internal"))
        keys, internal = self._boxes
        self._lifecycle = Lifecycle(keys, store)
        self.routes = Routes()
        paths = KeyPaths(keys, store)
        self._route_data(Encryption(keys), Signing(keys), Encapsulation(keys), paths)
        self._route_keys(paths, self._lifecycle, KeyTransferPaths(keys, internal, store))

    def _route_data(
        self, encryption: Encryption, signing: Signing, encapsulation: Encapsulation, keys: KeyPaths
    ) -> None:
        def encrypt(request: Request, name: str) -> Response | dict[str, Any]:
            keys.make_missing(request, name)
            return encryption.encrypt(request, name)

        add = self.routes.add
        add("encrypt/{name}", update=encrypt, exists=keys.exists)
        add("decrypt/{name}", update=encryption.decrypt)
        add("rewrap/{name}", update=encryption.rewrap)
        add("datakey/{form}/{name}", update=encryption.data_key)
        add("encapsulate/{name}", update=encapsulation.encapsulate)
        add("decapsulate/{name}", update=encapsulation.decapsulate)
        for path, act in (("sign", signing.sign), ("verify", signing.verify), ("hmac", signing.mac)):
            add(f"{path}/{{name}}", update=act)
            add(f"{path}/{{name}}/{{algorithm}}", update=act)
        add("hash", update=hashed)
        add("hash/{algorithm}", update=hashed)
        add("random", update=random_bytes)
        add("random/{source}", update=random_bytes)
        add("random/{source}/{size}", update=random_bytes)

    def _route_keys(self, keys: KeyPaths, lifecycle: Lifecycle, transfer: KeyTransferPaths) -> None:
        add = self.routes.add
        add("keys", list=keys.index)
        add("keys/{name}", read=keys.read, update=keys.create, delete=keys.delete)
        add("keys/{name}/config", update=keys.configure)
        add("keys/{name}/rotate", update=keys.rotate)
        add("keys/{name}/trim", update=keys.trim)
        add("keys/{name}/state", update=lifecycle.set_state)
        add("keys/{name}/destroy", update=lifecycle.schedule_destruction)
        add("keys/{name}/cancel-destruction", update=lifecycle.cancel_destruction)
        add("keys/{name}/import", update=transfer.import_key)
        add("keys/{name}/import_version", update=transfer.import_version)
        add("wrapping_key", read=transfer.wrapping_key)
        add("export/{kind}/{name}", read=transfer.export)
        add("export/{kind}/{name}/{version}", read=transfer.export)
        add("byok-export/{destination}/{source}", read=transfer.export_wrapped)
        add("byok-export/{destination}/{source}/{version}", read=transfer.export_wrapped)
        add("backup/{name}", read=transfer.backup)
        add("restore", update=transfer.restore)
        add("restore/{name}", update=transfer.restore)

    def tick(self) -> list[str]:
        """Destroys and rotates what is due; returns what was done, for the audit log."""
        return self._lifecycle.tick()

    def close(self) -> None:
        """Takes the boxes' hooks off the store: the mount is gone."""
        for box in self._boxes:
            box.close()
