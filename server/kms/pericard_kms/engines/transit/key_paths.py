"""Make, read, configure, rotate, trim and delete keys."""

from typing import Any

from pericard_kms.engines.key_box import KeyBox
from pericard_kms.engines.states import KeyState
from pericard_kms.engines.transit.description import describe
from pericard_kms.engines.transit.new_keys import new_key, rotation_period
from pericard_kms.errors import Invalid, NotFound
from pericard_kms.fields import Fields
from pericard_kms.routing import Request, Response
from pericard_kms.storage.sealed_store import SealedStore


class KeyPaths:
    """The paths that manage the keys of a box."""

    def __init__(self, keys: KeyBox, store: SealedStore) -> None:
        self._keys, self._store = keys, store

    def create(self, request: Request, name: str) -> Response:
        """POST keys/{name}; an existing key is left as it is, with a warning."""
        fields = request.fields
        existing = self._keys.find(name)
        if existing is not None:
            return Response(describe(existing), warnings=[f"key {name} already existed"])
        key = new_key(fields, name)
        size = fields.whole("key_size")
        if key.kind.family == "mac":
            if not 32 <= size <= 512:
                raise Invalid("invalid key size for HMAC key, must be between 32 and 512 bytes")
            key.key_size = size
        elif size:
            raise Invalid(f"key_size is not valid for algorithm {key.kind.name}")
        version = key.rotate(self._store.clock())
        if fields.text("state") == KeyState.PRE_ACTIVE:
            version.state = KeyState.PRE_ACTIVE
        self._keys.save(key)
        return Response(describe(key))

    def make_missing(self, request: Request, name: str) -> None:
        """Makes a missing key for encrypt/{name}, from the few fields that Vault honours there."""
        if self._keys.find(name) is None:
            raw = request.fields.raw
            wanted = {
                field: raw[field] for field in ("type", "convergent_encryption") if raw.get(field) is not None
            }
            items = request.fields.batch() or [request.fields]
            wanted["derived"] = "context" in items[0]
            key = new_key(Fields(wanted), name)
            if not key.kind.encrypts:
                raise Invalid(f"key type {key.kind.name} not supported for this operation")
            key.rotate(self._store.clock())
            self._keys.save(key)

    def exists(self, parameters: dict[str, str]) -> bool:
        """Whether the key of a request's parameters is there."""
        return self._keys.find(parameters["name"]) is not None

    def read(self, request: Request, name: str) -> dict[str, Any]:
        """GET keys/{name}."""
        key = self._keys.require(name)
        context = request.fields.data("context")
        return describe(key, context)

    def index(self, request: Request) -> dict[str, Any]:
        """LIST keys."""
        names = self._keys.names()
        if not names:
            raise NotFound("")
        return {"keys": names}

    def configure(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}/config. Everything is checked before anything changes."""
        fields = request.fields
        key = self._keys.get(name, f"no existing key named {name} could be found")
        decryption = fields.whole("min_decryption_version", key.min_decryption_version) or 1
        encryption = fields.whole("min_encryption_version", key.min_encryption_version)
        for what, number in (("decryption", decryption), ("encryption", encryption)):
            if number < 0:
                raise Invalid(f"min {what} version cannot be negative")
            if number > key.latest:
                raise Invalid(
                    f"cannot set min {what} version of {number}, latest key version is {key.latest}"
                )
        if 0 < encryption < decryption:
            raise Invalid(
                f"cannot set min encryption/decryption values; min encryption version of {encryption} "
                f"must be greater than or equal to min decryption version of {decryption}"
            )
        if 0 < encryption < key.min_available_version:
            raise Invalid("min encryption version should not be less than min available version")
        if decryption < key.min_available_version:
            raise Invalid("min decryption version should not be less then min available version")
        limit = fields.whole("usage_limit", key.usage_limit)
        if not 0 <= limit <= key.kind.limit:
            raise Invalid(f"usage_limit is between 1 and {key.kind.limit}, or 0 for that")
        period = rotation_period(fields, key.auto_rotate_period)
        deletion = fields.flag("deletion_allowed", key.deletion_allowed)
        # Once given away, a key cannot be called unexportable again: Vault's rule, and an honest one.
        exportable = key.exportable or fields.flag("exportable")
        backup = key.allow_plaintext_backup or fields.flag("allow_plaintext_backup")
        key.min_decryption_version, key.min_encryption_version = decryption, encryption
        key.usage_limit, key.auto_rotate_period, key.deletion_allowed = limit, period, deletion
        key.exportable, key.allow_plaintext_backup = exportable, backup
        self._keys.save(key)
        return describe(key)

    def rotate(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}/rotate."""
        key = self._keys.get(name, "key not found")
        key.rotate(self._store.clock())
        self._keys.save(key)
        return describe(key)

    def trim(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}/trim: forgets versions below min_available_version for good."""
        key = self._keys.get(name, "invalid key name")
        number = request.fields.whole("min_available_version")
        if "min_available_version" not in request.fields:
            raise Invalid("missing min_available_version")
        if number < key.min_available_version:
            raise Invalid("minimum available version cannot be decremented")
        if number < 1:
            raise Invalid("minimum available version should be positive")
        if key.min_encryption_version == 0:
            raise Invalid(
                "minimum available version cannot be set when minimum encryption version is not set"
            )
        if number > key.min_encryption_version:
            raise Invalid("minimum available version cannot be greater than minmum encryption version")
        if number > key.min_decryption_version:
            raise Invalid("minimum available version cannot be greater than minimum decryption version")
        key.min_available_version = number
        key.versions = {n: version for n, version in key.versions.items() if n >= number}
        self._keys.save(key)
        return describe(key)

    def delete(self, request: Request, name: str) -> None:
        """DELETE keys/{name}: Vault's immediate end, only where deletion_allowed was set."""
        key = self._keys.find(name)
        if key is None:
            raise Invalid(f"error deleting policy {name}: could not delete key; not found")
        if not key.deletion_allowed:
            raise Invalid(f"error deleting policy {name}: deletion is not allowed for this key")
        self._keys.delete(name)
