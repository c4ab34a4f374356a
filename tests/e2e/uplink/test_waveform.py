"""An ECG's samples on the whole way: the node's flash, its frames, the gateway, the hospital, and back."""

import json
import os
from pathlib import Path

import pytest
from tests.parts.hospital_process import HospitalProcess
from tests.parts.waiting import until
from tests.parts.ward import Device, Line, Ward

from pericard_tools.board.emulate import boards, hearts
from pericard_tools.board.flash import firmware_files, flash
from pericard_tools.board.provision import RegistrySource, provision
from pericard_tools.board.recording import shipped_waveform
from pericard_tools.board.virtual import VirtualBoard

BLOCKS = 20


def wave_node(board: VirtualBoard, registry: Path) -> Device:
    """Flashes and provisions `board`; what the gateway knows of it."""
    config = b'SENSOR = "waveform"\nWAVEFORM = True\n'
    flash(board.port, firmware_files() | {"/config.py": config})
    provision(board.port, 7, "bed 4", 61, RegistrySource(registry))
    device = Device(7)
    (entry,) = json.loads(registry.read_bytes())["devices"]
    device.key = bytes.fromhex(entry["key"])
    return device


@pytest.mark.slow
def test_the_samples_that_a_node_has_are_read_back_at_the_hospital(
    tmp_path: Path, hospital: HospitalProcess, ward: Ward
) -> None:
    hospital.command("patient", "add", "patient-a", "--device", "7")
    hospital.start()
    flashes = hearts(["amy"], waveform=True, replays={}, speeds={"amy": 10.0})
    with boards(tmp_path, flashes) as running:
        ward.devices[:] = [wave_node(running["amy"], tmp_path / "devices.json")]
        ward.lines += [Line(os.open(os.devnull, os.O_RDWR), running["amy"].port)]
        ward.start()
        until(lambda: ward.status()["acked_frames"] > 3 * BLOCKS, lambda: ward.log)
        assert ward.stop() == 0
    shown = hospital.command("waveform", "--patient", "patient-a", "--why", "test", "--json")
    blocks = [json.loads(line) for line in shown.splitlines()]
    assert len(blocks) > BLOCKS
    # The gateway came to a node that was sending already; from its first block on nothing is missing.
    samples, rate = shipped_waveform()
    start = blocks[0]["first"]
    received: list[int] = []
    for block in blocks:
        assert (block["device"], block["rate"], block["first"]) == (7, rate, start + len(received))
        received += block["samples"]
    assert received == samples[start : start + len(received)]
    lines = hospital.command("waveform", "--patient", "patient-a", "--why", "test").splitlines()
    assert [int(line.split("\t")[2]) for line in lines] == [block["first"] for block in blocks]
