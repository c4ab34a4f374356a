"""Loses the connection within a packet, at each of its notifications; then looks how the next session begins.

Arguments: the firmware's folder, and the size of a packet, at least 76 bytes.
"""

import sys

import air  # noqa: F401 - the link's `bluetooth`

sys.path.insert(0, sys.argv[1])

from pericard_node.ble import BleLink

# So many of the last packets the connection may have kept back: as many as a radio has blocks, or as large
# ones as they hold.
packets = [bytes([n]) * (int(sys.argv[2]) - 1) + b"\0" for n in range(1, 61)]
RECENT = min(36, 36 * 244 // len(packets[0]))

for taken in range(4):
    link = BleLink()
    radio = link._radio
    assert not link.send(packets[0])  # nobody is there
    radio.tell(1, (5, 0, b""))
    radio.tell(21, (5, 28))
    assert not link.send(packets[0])  # nobody has subscribed
    link.receive()
    assert all(link.send(packet) for packet in packets[:50])
    assert b"".join(radio.air) == b"\0" + b"".join(packets[:50])
    radio.room = taken  # of the notifications of 25 bytes that the packet takes
    assert not link.send(packets[50])
    assert radio.advertised == 1
    radio.tell(2, (5, 0, b""))
    assert radio.advertised == 2
    radio.air, radio.room = [], 1000000
    assert not link.send(packets[50])
    radio.tell(1, (6, 0, b""))
    radio.tell(2, (5, 0, b""))  # late word of the first connection, which is not this one
    link.receive()
    assert all(link.send(packet) for packet in packets[50:])
    assert b"".join(radio.air) == b"\0" + b"".join(packets[50 - RECENT :]), taken
    assert max(len(one) for one in radio.air) == 20  # no MTU was agreed to in this session
print("nothing was lost")
