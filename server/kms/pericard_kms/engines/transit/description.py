"""What a reader is told of a key: Vault's fields, and what only this KMS keeps. Never a secret."""

from typing import Any

from pericard_kms.crypto import key_material
from pericard_kms.engines.keys import Key, Version
from pericard_kms.engines.states import KeyState
from pericard_kms.fields import encode, rfc3339


def describe(key: Key, context: bytes = b"") -> dict[str, Any]:
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
        "supports_encapsulation": key.kind.family == "ml-kem",
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
    if key.kind.family == "mac":
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
                "public_key": public_half(key, version, context),
                "certificate_chain": "",
            }
            for number, version in shown.items()
        }
    return data


def public_half(key: Key, version: Version, context: bytes) -> str:
    """The public key of a version, for a reader; empty where there is none to show."""
    if version.state is KeyState.DESTROYED or (key.derived and not context):
        return ""
    public = version.public(key.kind)
    if key.derived:
        public = key_material.load_private(
            key.kind, key_material.derive(version.material, context)
        ).public_key()
    if key.kind.family == "ed25519" or key.kind.family.startswith("ml-"):
        return encode(public.public_bytes_raw())
    return key_material.public_pem(public)
