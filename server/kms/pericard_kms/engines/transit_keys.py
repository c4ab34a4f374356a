"""The transit engine's work on keys: make, read, configure, rotate, trim, import, export, back up, end.

Beside Vault's operations: SP 800-57 states, and destruction that waits a delay in which it can be cancelled.
"""

import base64
import os
from typing import Any

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

from pericard_kms.crypto import key_material, wrapping
from pericard_kms.crypto.key_types import TYPES, KeyType
from pericard_kms.engines import states
from pericard_kms.engines.keys import Key, KeyBox, Version
from pericard_kms.engines.states import State
from pericard_kms.errors import Invalid, NotFound
from pericard_kms.fields import Fields, decode, encode, rfc3339
from pericard_kms.routing import Answer, Request
from pericard_kms.storage.vault import Vault

_SHORTEST_ROTATION_S = 3600.0
# Long enough for a weekend to notice a mistake; an operator may choose between an hour and a year.
DESTRUCTION_DELAY_S = 7 * 86400.0
_DELAYS_S = (3600.0, 366 * 86400.0)
WRAPPING = "import-wrapping-key"


class TransitKeys:
    """The key operations over a box of keys."""

    def __init__(self, keys: KeyBox, internal: KeyBox, vault: Vault) -> None:
        """`internal` holds the mount's own wrapping key, which no request can name."""
        self._keys = keys
        self._internal = internal
        self._vault = vault

    # -- making and reading -----------------------------------------------------------------------------

    def create(self, request: Request, name: str) -> Answer:
        """POST keys/{name}; an existing key is left as it is, with a warning."""
        fields = request.fields
        existing = self._keys.find(name)
        if existing is not None:
            return Answer(self.describe(existing), warnings=[f"key {name} already existed"])
        key = self._new(fields, name)
        size = fields.whole("key_size")
        if key.kind.kind == "mac":
            if not 32 <= size <= 512:
                raise Invalid("invalid key size for HMAC key, must be between 32 and 512 bytes")
            key.key_size = size
        elif size:
            raise Invalid(f"key_size is not valid for algorithm {key.kind.name}")
        version = key.rotate(self._vault.clock())
        if fields.text("state") == State.PRE_ACTIVE:
            version.state = State.PRE_ACTIVE
        self._keys.save(key)
        return Answer(self.describe(key))

    def _new(self, fields: Fields, name: str) -> Key:
        kind = TYPES.get(fields.text("type", "aes256-gcm96"))
        if kind is None:
            raise Invalid(f"unknown key type {fields.text('type')}: use one of {', '.join(TYPES)}")
        key = Key(
            name,
            kind,
            derived=fields.flag("derived"),
            convergent=fields.flag("convergent_encryption"),
            exportable=fields.flag("exportable"),
            allow_plaintext_backup=fields.flag("allow_plaintext_backup"),
            auto_rotate_period=_rotation(fields),
        )
        if key.derived and not kind.derives:
            raise Invalid(f"key derivation is not supported for keys of type {kind.name}")
        if key.convergent and not key.derived:
            raise Invalid("convergent encryption requires derivation to be enabled")
        if key.convergent and kind.kind != "aead":
            raise Invalid(f"convergent encryption is not supported for keys of type {kind.name}")
        return key

    def upsert(self, request: Request, name: str) -> None:
        """Makes a missing key for encrypt/{name}, from the few fields that Vault honours there."""
        if self._keys.find(name) is None:
            raw = request.fields.raw
            wanted = {
                field: raw[field] for field in ("type", "convergent_encryption") if raw.get(field) is not None
            }
            items = request.fields.batch() or [request.fields]
            wanted["derived"] = "context" in items[0]
            key = self._new(Fields(wanted), name)
            if not key.kind.encrypts:
                raise Invalid(f"key type {key.kind.name} not supported for this operation")
            key.rotate(self._vault.clock())
            self._keys.save(key)

    def exists(self, parameters: dict[str, str]) -> bool:
        """Whether the key of a request's parameters is there."""
        return self._keys.find(parameters["name"]) is not None

    def read(self, request: Request, name: str) -> dict[str, Any]:
        """GET keys/{name}."""
        key = self._find(name)
        context = request.fields.data("context")
        return self.describe(key, context)

    def index(self, request: Request) -> dict[str, Any]:
        """LIST keys."""
        names = self._keys.names()
        if not names:
            raise NotFound("")
        return {"keys": names}

    def _find(self, name: str) -> Key:
        key = self._keys.find(name)
        if key is None:
            raise NotFound("")
        return key

    def describe(self, key: Key, context: bytes = b"") -> dict[str, Any]:
        """What `read` tells: Vault's fields, and under `versions` what only this KMS keeps."""
        data: dict[str, Any] = {
            "type": key.kind.name,
            "name": key.name,
            "derived": key.derived,
            "exportable": key.exportable,
            "allow_plaintext_backup": key.allow_plaintext_backup,
            "deletion_allowed": key.deletion_allowed,
            "auto_rotate_period": int(key.auto_rotate_period),
            "imported_key": key.imported,
            "latest_version": key.latest,
            "min_available_version": key.min_available_version,
            "min_decryption_version": key.min_decryption_version,
            "min_encryption_version": key.min_encryption_version,
            "soft_deleted": False,
            "supports_encryption": key.kind.encrypts,
            "supports_decryption": key.kind.encrypts,
            "supports_derivation": key.kind.derives,
            "supports_signing": key.kind.signs,
            "supports_encapsulation": key.kind.kind == "ml-kem",
            "usage_limit": key.limit,
            "versions": {
                str(version.number): {
                    "state": version.state,
                    "uses": version.uses,
                    "history": version.history,
                    "destroy_at": version.destroy_at and int(version.destroy_at),
                }
                for version in key.versions.values()
            },
        }
        if key.kind.kind == "mac":
            data["key_size"] = key.key_size
        if key.imported:
            data["imported_key_allow_rotation"] = key.allow_rotation
        if key.derived:
            data["kdf"] = "hkdf_sha256"
            data["convergent_encryption"] = key.convergent
            if key.convergent:
                data["convergent_encryption_version"] = 1
        shown = {n: v for n, v in key.versions.items() if n >= key.min_decryption_version}
        if not key.kind.asymmetric:
            data["keys"] = {str(number): int(version.created) for number, version in shown.items()}
        else:
            data["keys"] = {
                str(number): {
                    "name": key.kind.name,
                    "creation_time": rfc3339(version.created),
                    "public_key": self._public(key, version, context),
                    "certificate_chain": "",
                }
                for number, version in shown.items()
            }
        return data

    def _public(self, key: Key, version: Version, context: bytes) -> str:
        if version.state is State.DESTROYED or (key.derived and not context):
            return ""
        public = version.public(key.kind)
        if key.derived:
            public = key_material.load_private(
                key.kind, key_material.derive(version.material, context)
            ).public_key()
        if key.kind.kind == "ed25519" or key.kind.kind.startswith("ml-"):
            return encode(public.public_bytes_raw())
        return key_material.public_pem(public)

    # -- configuration and versions ---------------------------------------------------------------------

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
        period = _rotation(fields, key.auto_rotate_period)
        deletion = fields.flag("deletion_allowed", key.deletion_allowed)
        # Once given away, a key cannot be called unexportable again: Vault's rule, and an honest one.
        exportable = key.exportable or fields.flag("exportable")
        backup = key.allow_plaintext_backup or fields.flag("allow_plaintext_backup")
        key.min_decryption_version, key.min_encryption_version = decryption, encryption
        key.usage_limit, key.auto_rotate_period, key.deletion_allowed = limit, period, deletion
        key.exportable, key.allow_plaintext_backup = exportable, backup
        self._keys.save(key)
        return self.describe(key)

    def rotate(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}/rotate."""
        key = self._keys.get(name, "key not found")
        key.rotate(self._vault.clock())
        self._keys.save(key)
        return self.describe(key)

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
        return self.describe(key)

    def delete(self, request: Request, name: str) -> None:
        """DELETE keys/{name}: Vault's immediate end, only where deletion_allowed was set."""
        key = self._keys.find(name)
        if key is None:
            raise Invalid(f"error deleting policy {name}: could not delete key; not found")
        if not key.deletion_allowed:
            raise Invalid(f"error deleting policy {name}: deletion is not allowed for this key")
        self._keys.delete(name)

    # -- states and destruction -------------------------------------------------------------------------

    def _versions(self, key: Key, fields: Fields) -> list[Version]:
        """The version that the request names, or all of them."""
        number = fields.whole("version")
        if not number:
            return list(key.versions.values())
        if number not in key.versions:
            raise Invalid(f"the key {key.name} has no version {number}")
        return [key.versions[number]]

    def set_state(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}/state: {state, reason, version?}; without a version, all that can."""
        fields = request.fields
        key = self._keys.get(name, "key not found")
        state = states.read(fields.text("state"))
        if state is State.DESTROYED:
            raise Invalid(f"destruction waits a delay: use keys/{name}/destroy")
        reason = _reason(fields)
        chosen = self._versions(key, fields)
        able = [version for version in chosen if state in states.TRANSITIONS[version.state]]
        if not able:
            states.check_transition(chosen[-1].state, state)
        for version in able:
            version.become(state, self._vault.clock(), reason)
        self._keys.save(key)
        return self.describe(key)

    def schedule_destruction(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}/destroy: {delay, reason, version?}. Until then the versions only open."""
        fields = request.fields
        key = self._keys.get(name, "key not found")
        delay = fields.seconds("delay", DESTRUCTION_DELAY_S)
        if not _DELAYS_S[0] <= delay <= _DELAYS_S[1]:
            raise Invalid("the delay before destruction is between 1 hour and 366 days")
        reason = _reason(fields)
        now = self._vault.clock()
        for version in self._versions(key, fields):
            if version.state in (State.DESTROYED, State.PRE_ACTIVE):
                continue
            if version.state is State.ACTIVE:
                version.become(State.SUSPENDED, now, f"destruction scheduled: {reason}")
            version.destroy_at = now + delay
        self._keys.save(key)
        return self.describe(key)

    def cancel_destruction(self, request: Request, name: str) -> dict[str, Any]:
        """POST keys/{name}/cancel-destruction: the versions stay suspended until `state` says otherwise."""
        key = self._keys.get(name, "key not found")
        waiting = [
            version for version in self._versions(key, request.fields) if version.destroy_at is not None
        ]
        if not waiting:
            raise Invalid(f"no destruction of {name} is scheduled")
        for version in waiting:
            version.destroy_at = None
        self._keys.save(key)
        return self.describe(key)

    def tick(self) -> list[str]:
        """Does what is due: destructions and rotations. Returns what was done, for the audit log."""
        done = []
        now = self._vault.clock()
        for name in self._keys.names():
            key = self._keys.get(name)
            due = [v for v in key.versions.values() if v.destroy_at is not None and v.destroy_at <= now]
            for version in due:
                version.become(State.DESTROYED, now, "the scheduled destruction")
                done.append(f"destroyed {name} version {version.number}")
            if due:
                key.erased = all(version.state is State.DESTROYED for version in key.versions.values())
                self._keys.save(key)
            self._keys.rotate_when_due(key)
        return done

    # -- import, export, backup -------------------------------------------------------------------------

    def wrapping_key(self, request: Request) -> dict[str, Any]:
        """GET wrapping_key: the RSA-4096 public key to wrap imports with, made at first use."""
        return {"public_key": key_material.public_pem(self._wrapper().public(TYPES["rsa-4096"]))}

    def _wrapper(self) -> Version:
        key = self._internal.find(WRAPPING)
        if key is None:
            key = Key(WRAPPING, TYPES["rsa-4096"])
            key.rotate(self._vault.clock())
            self._internal.save(key)
        return key.versions[key.latest]

    def import_key(self, request: Request, name: str) -> None:
        """POST keys/{name}/import: a new key of material that its owner wrapped."""
        fields = request.fields
        if self._keys.find(name) is not None:
            raise Invalid(
                "the import path cannot be used with an existing key; use import_version to rotate it"
            )
        if fields.flag("convergent_encryption"):
            raise Invalid("import cannot be used on keys with convergent encryption enabled")
        key = self._new(fields, name)
        key.imported, key.allow_rotation = True, fields.flag("allow_rotation")
        if key.auto_rotate_period and not key.allow_rotation:
            raise Invalid("allow_rotation must be set to true if auto-rotation is enabled")
        self._adopt(key, fields)

    def import_version(self, request: Request, name: str) -> None:
        """POST keys/{name}/import_version: a further version of an imported key."""
        key = self._keys.get(
            name, f"no key found with name {name}; to import a new key, use the import/ endpoint"
        )
        if not key.imported:
            raise Invalid("the import_version endpoint can only be used with an imported key")
        self._adopt(key, request.fields)

    def _adopt(self, key: Key, fields: Fields) -> None:
        now = self._vault.clock()
        if ("ciphertext" in fields) == ("public_key" in fields):
            raise Invalid("give one of ciphertext (a wrapped key) and public_key (PEM)")
        if "public_key" in fields:
            key.rotate(now, _public_material(key.kind, fields.text("public_key")), public_only=True)
        else:
            private = self._wrapper().private(TYPES["rsa-4096"])
            blob = decode(fields.raw["ciphertext"], "ciphertext")
            if len(blob) <= 512:
                raise Invalid("provided ciphertext is too short")
            target = wrapping.unwrap_import(private, blob, fields.text("hash_function", "SHA256"))
            material = key_material.adopt(key.kind, target)
            if key.kind.kind == "mac":
                key.key_size = len(material)
            key.rotate(now, material)
        self._keys.save(key)

    def export(self, request: Request, kind: str, name: str, version: str = "") -> dict[str, Any]:
        """GET export/{encryption-key|signing-key|hmac-key|public-key}/{name}[/{version}]."""
        if kind not in ("encryption-key", "signing-key", "hmac-key", "public-key"):
            raise Invalid(f"invalid export type: {kind}")
        key = self._find(name)
        if kind != "public-key" and not key.exportable:
            raise Invalid("private key material is not exportable")
        fits = {
            "encryption-key": key.kind.encrypts or key.kind.kind == "ml-kem",
            "signing-key": key.kind.signs,
        }
        if not fits.get(kind, True) or (kind == "public-key" and not key.kind.asymmetric):
            raise Invalid(f"{kind.split('-')[0]} is not supported for a key of type {key.kind.name}")
        chosen = self._chosen(key, version)
        return {
            "name": name,
            "type": key.kind.name,
            "keys": {str(one.number): self._exported(key, one, kind) for one in chosen},
        }

    def _chosen(self, key: Key, version: str) -> list[Version]:
        if version == "":
            numbers = [n for n in key.versions if n >= key.min_decryption_version]
            return [key.versions[n] for n in numbers if key.versions[n].state is not State.DESTROYED]
        number = key.latest if version == "latest" else Fields({"version": version}).whole("version")
        if 0 < number < key.min_decryption_version:
            raise Invalid("version for export is below minimum decryption version")
        if number not in key.versions or key.versions[number].state is State.DESTROYED:
            raise Invalid("version does not exist or cannot be found")
        return [key.versions[number]]

    def _exported(self, key: Key, version: Version, kind: str) -> str:
        if kind == "hmac-key":
            return encode(version.hmac_key)
        if kind == "public-key":
            return self._public(key, version, b"")
        if not key.kind.asymmetric or key.kind.kind.startswith("ml-"):
            return encode(version.material)  # raw, or the seed of FIPS 203 and 204
        if key.kind.kind == "ed25519":
            # Go's form, which Vault's users expect: seed and public key.
            return encode(version.material + version.public(key.kind).public_bytes_raw())
        return key_material.private_pem(key.kind, version.private(key.kind))

    def export_wrapped(
        self, request: Request, destination: str, source: str, version: str = ""
    ) -> dict[str, Any]:
        """GET byok-export/{destination}/{source}[/{version}]: `source` wrapped to an RSA key."""
        target, key = self._find(destination), self._find(source)
        if target.kind.kind != "rsa":
            raise Invalid(f"the destination {destination} is not an RSA key")
        if not key.exportable:
            raise Invalid("private key material is not exportable")
        public = target.to_protect(what="wrapping").public(target.kind)
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        wrapped = {}
        for one in self._chosen(key, version):
            kek = os.urandom(32)  # fresh for each key: AES-KWP is deterministic
            material = one.material
            if key.kind.kind == "ed25519":
                material = one.private(key.kind).private_bytes(
                    serialization.Encoding.DER,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            blob = public.encrypt(kek, oaep) + aes_key_wrap_with_padding(kek, material)
            wrapped[str(one.number)] = encode(blob)
        return {"name": source, "type": key.kind.name, "keys": wrapped}

    def backup(self, request: Request, name: str) -> dict[str, Any]:
        """GET backup/{name}: the whole key in the clear, where the key's settings allow it."""
        key = self._keys.get(name, "key not found")
        if not key.exportable:
            raise Invalid("exporting is disallowed on the policy")
        if not key.allow_plaintext_backup:
            raise Invalid("plaintext backup is disallowed on the policy")
        uses = {str(number): version.uses for number, version in key.versions.items()}
        record = {"pericard_backup": 1, "key": orjson.loads(key.dump()), "uses": uses}
        return {"backup": base64.b64encode(orjson.dumps(record)).decode()}

    def restore(self, request: Request, name: str = "") -> None:
        """POST restore[/{name}]: a key from its backup; `force` replaces one that is there."""
        fields = request.fields
        if "backup" not in fields:
            raise Invalid("'backup' must be supplied")
        try:
            record = orjson.loads(fields.data("backup"))
            key = Key.load(orjson.dumps(record["key"]))
            for number, version in key.versions.items():
                version.uses = int(record["uses"][str(number)])
        except (ValueError, KeyError, TypeError):
            raise Invalid("the backup is not one of a key of this KMS") from None
        key.name = name or key.name
        existing = self._keys.find(key.name)
        if existing is not None and not fields.flag("force"):
            raise Invalid(f"key {key.name!r} already exists; pass force to replace it")
        self._keys.save(key)


def _rotation(fields: Fields, default: float = 0.0) -> float:
    period = fields.seconds("auto_rotate_period", default)
    if 0 < period < _SHORTEST_ROTATION_S:
        raise Invalid("auto rotate period must be 0 to disable or at least an hour")
    return period


def _reason(fields: Fields) -> str:
    reason = fields.text("reason")
    if not 3 <= len(reason) <= 500:
        raise Invalid("reason: say why, in 3 to 500 characters; it is kept with the key")
    return reason


def _public_material(kind: KeyType, pem: str) -> bytes:
    """An imported public key in the form that `load_public` reads."""
    if not kind.asymmetric:
        raise Invalid("provided type does not support public_key import")
    try:
        public = serialization.load_pem_public_key(pem.encode())
        material: bytes
        if kind.kind == "ed25519" or kind.kind.startswith("ml-"):
            material = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        else:
            material = public.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        loaded = key_material.load_public(kind, material)
    except ValueError:
        raise Invalid(f"public_key is not a {kind.name} key in PEM") from None
    fits = {
        "rsa": lambda: loaded.key_size == kind.size,
        "ecdsa": lambda: loaded.curve.key_size == kind.size,
    }
    try:
        if not fits.get(kind.kind, lambda: True)():
            raise Invalid(f"public_key is not a {kind.name} key")
    except AttributeError:
        raise Invalid(f"public_key is not a {kind.name} key") from None
    return material
