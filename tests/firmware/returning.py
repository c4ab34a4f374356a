"""Loses the connection within a packet, at each of its notifications; then looks how the next session begins.

Argument: the firmware's folder.
"""

import sys

import air  # noqa: F401 - the link's `bluetooth`

sys.path.insert(0, sys.argv[1])

from pericard_node.ble import BleLink

RECENT = 8  # so many of the last packets the connection may have kept back
packets = [bytes([n]) * 99 + b"\0" for n in range(1, 21)]

for taken in range(4):
    link = BleLink()
    radio = link._radio
    assert not link.send(packets[0])  # nobody is there
    radio.tell(1, (5, 0, b""))
    radio.tell(21, (5, 28))
    assert not link.send(packets[0])  # nobody has subscribed
    link.receive()
    assert all(link.send(packet) for packet in packets[:12])
    assert b"".join(radio.air) == b"\0" + b"".join(packets[:12])
    radio.room = taken  # of the four notifications of 25 bytes
    assert not link.send(packets[12])
    assert radio.advertised == 1
    radio.tell(2, (5, 0, b""))
    assert radio.advertised == 2
    radio.air, radio.room = [], 1000000
    assert not link.send(packets[12])
    radio.tell(1, (6, 0, b""))
    radio.tell(2, (5, 0, b""))  # late word of the first connection, which is not this one
    link.receive()
    assert all(link.send(packet) for packet in packets[12:])
    assert b"".join(radio.air) == b"\0" + b"".join(packets[12 - RECENT :]), taken
    assert max(len(one) for one in radio.air) == 20  # no MTU was agreed to in this session
print("nothing was lost")
