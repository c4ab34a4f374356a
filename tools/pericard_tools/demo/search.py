"""The demo's last look: no file of any party may hold a vital sign or a key that nobody sealed."""

from base64 import b64encode

from pericard_tools.demo.world import BEDS, World
from pericard_tools.parties import StageFailed


def search_files(world: World) -> str:
    """Looks for vital signs, device keys and private keys in all files but the boards' own flash.

    Returns:
        What was looked through, as a sentence.

    Raises:
        StageFailed: a file holds one; with the file's name, never with what it holds.
    """
    vitals = [bed.sensor_id.encode() for bed in BEDS] + [b"heart_rate_bpm"]
    keys = [key for bed in BEDS for key in world.device_key(bed)]
    forbidden = {form: "a readable vital sign" for one in vitals for form in encodings(one)}
    forbidden |= {form: "a device key" for one in keys for form in encodings(one)}
    files = [path for path in world.folder.rglob("*") if path.is_file() and "boards" not in path.parts]
    content = {path: path.read_bytes() for path in files}
    for path, found in content.items():
        for marker, what in forbidden.items():
            if marker in found:
                raise StageFailed(f"privacy: {path.name} holds {what}")
        if b"PRIVATE KEY" in found and path not in world.short_lived_keys:
            raise StageFailed(f"privacy: {path.name} holds a private key that nobody sealed")
    size = sum(map(len, content.values()))
    return f"{len(files)} files and captures, {size:,} bytes: no vital sign or long-lived key in any"


def encodings(text: bytes) -> list[bytes]:
    """How `text` may stand in a file: as it is, in hex, or in base64 at each of the three alignments."""
    shifted = [(b64encode(bytes(shift) + text), shift) for shift in range(3)]
    whole = [code[4 * bool(shift) : (shift + len(text)) // 3 * 4] for code, shift in shifted]
    return [text, text.hex().encode(), *whole]
