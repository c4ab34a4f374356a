"""Sends packets over the BLE link at every MTU, to a radio that refuses every seventh notification.

Argument: the firmware's folder.
"""

import sys

import air  # noqa: F401 - the link's `bluetooth`

sys.path.insert(0, sys.argv[1])

from pericard_node.ble import BleLink

packets = [bytes([n % 255 + 1] * n) + b"\0" for n in (32, 19, 20, 21, 100, 244, 245, 515)]
for mtu in range(23, 248):
    link = BleLink()
    radio = link._radio
    radio.tell(1, (5, 0, b""))
    radio.tell(21, (5, mtu))
    link.receive()
    radio.room = 6
    for packet in packets:
        while not link.send(packet):
            radio.room = 6
    assert b"".join(radio.air) == b"\0" + b"".join(packets), mtu
    assert max(len(one) for one in radio.air) == mtu - 3, mtu
print("every MTU from 23 to 247")
