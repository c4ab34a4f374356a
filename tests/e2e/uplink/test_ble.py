"""From a board on BLE to the hospital's records, through the running gateway: only the air is not real."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.parts.board import DEVICE, wireless_board
from tests.parts.hospital_process import HospitalProcess
from tests.parts.radio import BOARD, in_the_air
from tests.parts.waiting import until
from tests.parts.ward import Ward, telling

from pericard_edge.config import load_settings
from pericard_gateway.config import GatewaySettings
from pericard_gateway.operations.doctor import Finding, examine
from pericard_gateway.ports import open_ports
from pericard_gateway.service import GatewayService

PORT = f"port {BOARD}"


def settled(met: Callable[[], Any]) -> Awaitable[None]:
    """Waits for another process's state without stopping the gateway's event loop."""
    return asyncio.to_thread(until, met)


@pytest.mark.slow
def test_a_board_on_ble_reaches_the_records_and_loses_nothing_on_its_way(
    tmp_path: Path, ward: Ward, hospital: HospitalProcess
) -> None:
    def seqs() -> list[int]:
        return [seq for device, _, seq in hospital.stored() if device == DEVICE]

    ward.extra = f'[[ble]]\naddress = "{BOARD}"\n'
    settings = load_settings(ward.configure(), GatewaySettings)

    def told() -> Finding:
        return next(one for one in examine(settings) if one.what == PORT)

    async def ward_round(bed: Any) -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        async with in_the_air(bed.board, 185) as (peripheral, backend):
            await peripheral.leave_range()
            running = asyncio.create_task(
                GatewayService(settings, partial(open_ports, radio=backend)).run(stop, telling(ready))
            )
            async with asyncio.timeout(10):
                await ready.wait()
            # Ready has not waited for a device that is away: in this air, an attempt lasts until it is back.
            assert (await asyncio.to_thread(ward.status))["troubles"][PORT] == "not connected yet"

            await peripheral.enter_range()
            await settled(lambda: len(seqs()) > 10)
            assert PORT not in (await asyncio.to_thread(ward.status))["troubles"]
            assert (await asyncio.to_thread(told)) == Finding(PORT, "is connected to the gateway")

            await peripheral.leave_range()
            await settled(lambda: PORT in ward.status()["troubles"])
            away = len(seqs())
            await peripheral.enter_range()
            await settled(lambda: len(seqs()) > away + 10)

            counted = (await asyncio.to_thread(ward.status))["devices"][str(DEVICE)]["accepted"]
            stop.set()
            async with asyncio.timeout(20):
                await running
            assert len(seqs()) >= counted  # what was read before the stop is delivered
            assert seqs() == list(range(len(seqs())))

    with wireless_board(tmp_path) as bed:
        board, known = json.loads(bed.registry.read_bytes()), ward.folder / "registry.json"
        board["devices"] += json.loads(known.read_bytes())["devices"]
        known.write_text(json.dumps(board))
        hospital.start()
        asyncio.run(ward_round(bed))
