"""Keys on their way in and out: import, export, backup and restore."""

import base64
from typing import Any

import orjson
from cryptography.hazmat.primitives import serialization

from pericard_kms.crypto import key_material, wrapping
from pericard_kms.crypto.key_types import TYPES, KeyType
from pericard_kms.engines.key_box import KeyBox
from pericard_kms.engines.keys import Key, Version
from pericard_kms.engines.states import KeyState
from pericard_kms.engines.transit.description import public_half
from pericard_kms.engines.transit.new_keys import new_key
from pericard_kms.errors import Invalid
from pericard_kms.fields import Fields, decode, encode
from pericard_kms.routing import Request
from pericard_kms.storage.sealed_store import SealedStore

WRAPPING = "import-wrapping-key"


class KeyTransferPaths:
    """The paths that take keys in and give them out."""

    def __init__(self, keys: KeyBox, internal: KeyBox, store: SealedStore) -> None:
        """`internal` holds the mount's own wrapping key, which no request can name."""
        self._keys, self._internal, self._store = keys, internal, store

    def wrapping_key(self, request: Request) -> dict[str, Any]:
        """GET wrapping_key: the RSA-4096 public key to wrap imports with, made at first use."""
        return {"public_key": key_material.public_pem(self._wrapper().public(TYPES["rsa-4096"]))}

    def _wrapper(self) -> Version:
        key = self._internal.find(WRAPPING)
        if key is None:
            key = Key(WRAPPING, TYPES["rsa-4096"])
            key.rotate(self._store.clock())
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
        key = new_key(fields, name)
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
        now = self._store.clock()
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
            if key.kind.family == "mac":
                key.key_size = len(material)
            key.rotate(now, material)
        self._keys.save(key)

    def export(self, request: Request, kind: str, name: str, version: str = "") -> dict[str, Any]:
        """GET export/{encryption-key|signing-key|hmac-key|public-key}/{name}[/{version}]."""
        if kind not in ("encryption-key", "signing-key", "hmac-key", "public-key"):
            raise Invalid(f"invalid export type: {kind}")
        key = self._keys.require(name)
        if kind != "public-key" and not key.exportable:
            raise Invalid("private key material is not exportable")
        fits = {
            "encryption-key": key.kind.encrypts or key.kind.family == "ml-kem",
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
            return [key.versions[n] for n in numbers if key.versions[n].state is not KeyState.DESTROYED]
        number = key.latest if version == "latest" else Fields({"version": version}).whole("version")
        if 0 < number < key.min_decryption_version:
            raise Invalid("version for export is below minimum decryption version")
        if number not in key.versions or key.versions[number].state is KeyState.DESTROYED:
            raise Invalid("version does not exist or cannot be found")
        return [key.versions[number]]

    def _exported(self, key: Key, version: Version, kind: str) -> str:
        if kind == "hmac-key":
            return encode(version.hmac_key)
        if kind == "public-key":
            return public_half(key, version, b"")
        if not key.kind.asymmetric or key.kind.family.startswith("ml-"):
            return encode(version.material)  # raw, or the seed of FIPS 203 and 204
        if key.kind.family == "ed25519":
            # Go's form, which Vault's users expect: seed and public key.
            return encode(version.material + version.public(key.kind).public_bytes_raw())
        return key_material.private_pem(key.kind, version.private(key.kind))

    def export_wrapped(
        self, request: Request, destination: str, source: str, version: str = ""
    ) -> dict[str, Any]:
        """GET byok-export/{destination}/{source}[/{version}]: `source` wrapped to an RSA key."""
        target, key = self._keys.require(destination), self._keys.require(source)
        if target.kind.family != "rsa":
            raise Invalid(f"the destination {destination} is not an RSA key")
        if not key.exportable:
            raise Invalid("private key material is not exportable")
        public = target.to_protect(what="wrapping").public(target.kind)
        wrapped = {}
        for one in self._chosen(key, version):
            material = one.material
            if key.kind.family == "ed25519":
                material = one.private(key.kind).private_bytes(
                    serialization.Encoding.DER,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            wrapped[str(one.number)] = encode(wrapping.wrap_export(public, material))
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


def _public_material(kind: KeyType, pem: str) -> bytes:
    """An imported public key in the form that `load_public` reads."""
    if not kind.asymmetric:
        raise Invalid("provided type does not support public_key import")
    try:
        public = serialization.load_pem_public_key(pem.encode())
        material: bytes
        if kind.family == "ed25519" or kind.family.startswith("ml-"):
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
        if not fits.get(kind.family, lambda: True)():
            raise Invalid(f"public_key is not a {kind.name} key")
    except AttributeError:
        raise Invalid(f"public_key is not a {kind.name} key") from None
    return material
