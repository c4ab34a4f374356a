"""The boot number: persisted, one more at every start, used only after it is durable.

It never falls back to zero or to a random start: a counter that cannot be read, or that would wrap, raises,
and the node stays silent until it is provisioned again with a new key.
"""

from pericard_node import flash

PATH = "/boot.bin"
_MAX_BOOT = 0xFFFFFFFF


class NeedsProvisioning(Exception):
    """The node may not send: what its safety rests on is missing, damaged or used up."""


def take_boot(path=PATH):
    """The next boot number, already durable: whatever happens now, no later start gets it again."""
    try:
        body = flash.read(path)
    except flash.Damaged as error:
        raise NeedsProvisioning(f"boot counter: {error}")
    last = int.from_bytes(body, "big")
    if len(body) != 4 or last >= _MAX_BOOT:
        raise NeedsProvisioning("boot counter: used up")
    boot = last + 1
    flash.write(path, boot.to_bytes(4, "big"))
    return boot
