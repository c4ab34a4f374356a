"""The boot number: one more at every start, and in the flash before it is used.

It never starts over, neither at zero nor at random. Where it cannot be read, or would pass its largest value,
the node stays silent until it is provisioned again with a new key.
"""

from pericard_node import flash

PATH = "/boot.bin"
_MAX_BOOT = 0xFFFFFFFF


class NeedsProvisioning(Exception):
    """The node may not send: its key or boot number is missing, damaged or used up."""


def take_boot(path=PATH):
    """The next boot number, durable already, so that no later start gets it again.

    Raises NeedsProvisioning.
    """
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
