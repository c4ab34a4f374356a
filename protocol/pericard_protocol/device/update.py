"""The signed firmware update (docs/adr/0010): the operator's tools build it, the gateway checks it. No I/O.

"PUPD" ‖ the manifest's length, 4 hex digits ‖ manifest ‖ its Ed25519 signature, 128 hex digits ‖ the files,
in the manifest's order. The manifest is JSON: {"version": n, "files": [{"path", "size", "sha256"}, …]}. Its
bounds are those of the node (firmware/pericard_node/update.py), which checks everything once more.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import pydantic
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pericard_protocol.errors import UsageError
from pericard_protocol.schema import Section

MAX_VERSION = 0xFFFFFFFF
_MAGIC = b"PUPD"
_HEAD_BYTES = 8
_SIGNATURE_DIGITS = 128
_MAX_MANIFEST_BYTES = 4000
_MAX_FILE_BYTES = 65536
_MAX_FILES = 64
_CTRL_C = b"\x03"
# An update may replace code only. It must not touch the keystore, the boot counter, the update key, or
# boot.py, which undoes a bad update.
_PATH = r"^/(main\.py|pericard_node/([^./]|\.[^./])+)$"


class UpdateError(UsageError):
    """The update is not one that a node would take."""


class _FileEntry(Section):
    path: str = pydantic.Field(pattern=_PATH)
    size: int = pydantic.Field(ge=0, le=_MAX_FILE_BYTES)
    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")


class _Manifest(Section):
    version: int = pydantic.Field(ge=1, le=MAX_VERSION)
    files: Annotated[list[_FileEntry], pydantic.Field(min_length=1, max_length=_MAX_FILES)]


class Update(NamedTuple):
    """An update as it goes over the link, and the version that it brings."""

    version: int
    stream: bytes


def build(files: Mapping[str, bytes], version: int, key: Ed25519PrivateKey) -> Update:
    """The update that brings `files` (absolute path on the board → content) to nodes of a lower version.

    Raises:
        UpdateError: the version, a file or their number is not one that a node takes.
    """
    described = [
        {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in files.items()
    ]
    manifest = json.dumps({"version": version, "files": described}, separators=(",", ":")).encode()
    if len(manifest) > _MAX_MANIFEST_BYTES:
        raise UpdateError("too many files for one update: send only those that changed")
    return parse_update(
        _head(len(manifest)) + manifest + key.sign(manifest).hex().encode() + b"".join(files.values())
    )


def parse_update(stream: bytes, key: Ed25519PublicKey | None = None) -> Update:
    """The update in `stream`, whole and right; with `key`, also signed by it.

    Raises:
        UpdateError: it is not.
    """
    try:
        length = int(stream[len(_MAGIC) : _HEAD_BYTES], 16) if stream.startswith(_MAGIC) else 0
    except ValueError:
        length = 0
    if stream[:_HEAD_BYTES] != _head(length):  # int() also accepts signs, spaces and capitals
        length = 0
    signed = _HEAD_BYTES + length
    end = signed + _SIGNATURE_DIGITS
    if not 0 < length <= _MAX_MANIFEST_BYTES or len(stream) < end:
        raise UpdateError("this is no update: make one with `pericard update --output FILE`")
    manifest = stream[_HEAD_BYTES:signed]
    if key is not None:
        try:
            signature = bytes.fromhex(stream[signed:end].decode("latin-1"))
            if signature.hex().encode() != stream[signed:end]:  # fromhex() also accepts spaces and capitals
                raise InvalidSignature
            key.verify(signature, manifest)
        except (InvalidSignature, ValueError):
            raise UpdateError("the update is not signed by this key: no node with it would take it") from None
    try:
        described = _Manifest.model_validate_json(manifest)
    except pydantic.ValidationError as error:
        fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the manifest"
        raise UpdateError(f"the update's manifest: {where}: {fault['msg']}") from None
    for file in described.files:
        content, end = stream[end : end + file.size], end + file.size
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise UpdateError(f"the update's {file.path} is damaged: make the update again")
    if end != len(stream):
        raise UpdateError("the update goes on after its last file: make it again")
    if _CTRL_C in stream:
        raise UpdateError("the update holds a Ctrl-C, which stops a node on its USB port: send sources only")
    return Update(described.version, stream)


def _head(length: int) -> bytes:
    return b"%s%04x" % (_MAGIC, length)
