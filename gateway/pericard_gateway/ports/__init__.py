"""The ways on which frames come in: a module for each kind, which does what port.py says."""

import asyncio

from bleak.backends.client import BaseBleakClient

from pericard_gateway.config import GatewaySettings
from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.ports.ble import BlePort
from pericard_gateway.ports.port import Port
from pericard_gateway.ports.serial import SerialPort


def open_ports(
    settings: GatewaySettings,
    room: asyncio.Event,
    counts: GatewayCounts,
    radio: type[BaseBleakClient] | None = None,
) -> list[Port]:
    """Every port that the configuration names; each opens itself when it runs.

    Args:
        settings: the gateway's.
        room: while it is not set, no port is read.
        counts: where lost ports are counted.
        radio: bleak's backend for BLE; None takes this machine's own.
    """
    return [
        *(SerialPort(one, room, counts) for one in settings.ports),
        *(BlePort(one.address, room, counts, radio) for one in settings.ble),
    ]
