"""`pericard kms audit`: export the log, verify an export without the KMS, keep checkpoints."""

import base64
import json
import sys
from pathlib import Path

import click

from pericard_kms.commands.answers import as_json_option, call, show
from pericard_kms.crypto.checkpoints import open_checkpoint
from pericard_kms.crypto.merkle import check_consistency, check_inclusion, leaf_hash
from pericard_kms.errors import Tampered
from pericard_kms.storage import audit_export

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _public_key(context: click.Context, parameter: click.Parameter, value: str) -> bytes:
    try:
        public = base64.b64decode(value, validate=True)
    except ValueError:
        public = b""
    if len(public) != 32:
        raise click.BadParameter("32 bytes in base64, as `pericard kms audit key` printed them")
    return public


_KEY = click.option(
    "--key", "public", required=True, callback=_public_key, help="The log's public key, as you noted it."
)


@click.group()
def audit() -> None:
    """The audit log."""


@audit.command("key")
@as_json_option
@click.pass_context
def audit_key(context: click.Context, as_json: bool) -> None:
    """Print the log's public key: note it at the set-up, verification rests on it."""
    answer = call(context, "GET", "sys/audit-log/key")
    if as_json:
        show(answer, as_json)
    else:
        click.echo(answer["public_key"])


@audit.command("checkpoint")
@click.pass_context
def audit_checkpoint(context: click.Context) -> None:
    """Print a signed checkpoint: keep it away from the KMS, later exports must agree with it."""
    click.echo(call(context, "GET", "sys/audit-log/checkpoint")["checkpoint"], nl=False)


@audit.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def audit_export_command(context: click.Context, file: Path) -> None:
    """Write the whole log with its checkpoint to FILE."""
    with context.obj() as client, file.open("w", encoding="utf-8") as out:
        about = client.call("GET", "sys/audit-log/key")
        note = client.call("GET", "sys/audit-log/checkpoint")["checkpoint"]
        public = base64.b64decode(about["public_key"])
        origin, size, _, _ = open_checkpoint(note, public)
        entries = client.audit_entries(size)
        with click.progressbar(entries, length=size, label="entries", file=sys.stderr) as leaves:
            out.writelines(audit_export.write_export(origin, public, leaves, note))
    click.echo(f"{size} entries")


@audit.command("verify")
@click.argument("file", type=_FILE)
@_KEY
@click.option(
    "--checkpoint", "older", type=_FILE, multiple=True, help="An older checkpoint; repeat for more."
)
@as_json_option
def audit_verify(file: Path, public: bytes, older: tuple[Path, ...], as_json: bool) -> None:
    """Verify an export, offline; exit code 1 and the reason when anything was changed."""
    with file.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        notes = [path.read_text(encoding="utf-8") for path in older]
        verified = audit_export.verify_export(lines, public, notes)
    found = {
        "origin": verified.origin,
        "entries": verified.entries,
        "root": verified.root,
        "time": verified.time,
        "checkpoints": verified.checkpoints,
    }
    click.echo(json.dumps(found) if as_json else f"sound: {verified.entries} entries of {verified.origin}")


@audit.command("follow")
@click.argument("older", type=_FILE)
@_KEY
@click.pass_context
def audit_follow(context: click.Context, older: Path, public: bytes) -> None:
    """Print a new checkpoint, once the KMS has proved that its log extends that of the checkpoint OLDER."""
    _, old, old_root, _ = open_checkpoint(older.read_text(encoding="utf-8"), public)
    note = str(call(context, "GET", "sys/audit-log/checkpoint")["checkpoint"])
    _, size, root, _ = open_checkpoint(note, public)
    path: list[bytes] = []
    if 0 < old < size:
        answer = call(context, "GET", f"sys/audit-log/consistency?from={old}&to={size}")
        path = [base64.b64decode(step) for step in answer["proof"]]
    check_consistency(old, size, old_root, root, path)
    click.echo(note, nl=False)


@audit.command("receipt")
@click.argument("file", type=_FILE)
@_KEY
def audit_receipt(file: Path, public: bytes) -> None:
    """Verify a patient's erasure receipt, offline: its entry is in the log that the checkpoint signs."""
    try:
        receipt = json.loads(file.read_bytes())
        entry, position = str(receipt["entry"]), int(receipt["position"])
        proof = [base64.b64decode(step, validate=True) for step in receipt["inclusion_proof"]]
        note, patient = str(receipt["checkpoint"]), str(receipt["patient"])
        event = json.loads(entry)["system"][0]
    except (ValueError, KeyError, TypeError, IndexError):
        raise Tampered(f"{file} is not an erasure receipt") from None
    _, size, root, _ = open_checkpoint(note, public)
    check_inclusion(leaf_hash(entry.encode()), position, size, proof, root)
    versions = receipt.get("destroyed_versions")
    reason = receipt.get("reason")
    if event != f"erased the wrapping key of the patient {patient}, versions {versions}: {reason}":
        raise Tampered("the receipt says another thing than its entry in the log")
    click.echo(f"sound: {event}")
