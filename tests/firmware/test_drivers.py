"""The sensor drivers against the parts' registers and pins, as the data sheets give them."""

import sys
from array import array
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tests.parts.micropython import FIRMWARE


class Chip:
    """A MAX30102 on I2C: its registers, and a FIFO that fills as it is asked."""

    def __init__(self, part: int = 0x15, light: tuple[int, ...] = ()) -> None:
        self.registers = {0xFF: part, 0x04: 0, 0x06: 0}
        self._light = list(light)

    def writeto_mem(self, address: int, register: int, data: bytes) -> None:
        assert address == 0x57
        self.registers[register] = data[0]

    def readfrom_mem(self, address: int, register: int, n: int) -> bytes:
        assert address == 0x57
        if register == 0x04:  # the write pointer: four more samples since the last look
            self.registers[4] = (self.registers[6] + min(4, len(self._light))) % 32
        if register == 0x07:
            assert n % 6 == 0
            taken, self._light = self._light[: n // 6], self._light[n // 6 :]
            self.registers[6] = (self.registers[6] + n // 6) % 32
            return b"".join(bytes(3) + value.to_bytes(3, "big") for value in taken)
        return bytes([self.registers[register]]) * n


class Pin:
    IN = 0
    levels: dict[int, int] = {}  # noqa: RUF012

    def __init__(self, number: int, mode: int = IN) -> None:
        self.number = number

    def value(self) -> int:
        return self.levels.get(self.number, 0)


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin: Pin) -> None:
        assert pin.number == 34
        self._next = 32768

    def atten(self, how: int) -> None:
        assert how == self.ATTN_11DB

    def read_u16(self) -> int:
        self._next += 1
        return self._next - 1


@pytest.fixture(autouse=True)
def _board(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `machine` and MicroPython's `time`, as far as the drivers use them."""
    import time

    monkeypatch.syspath_prepend(str(FIRMWARE))
    machine: Any = ModuleType("machine")
    machine.Pin, machine.ADC = Pin, ADC
    machine.I2C = lambda bus, scl, sda, freq: Chip()
    monkeypatch.setitem(sys.modules, "machine", machine)
    for name, function in {
        "sleep_ms": lambda ms: None,
        "sleep_us": lambda us: None,
        "ticks_us": lambda: 0,
        "ticks_add": lambda a, b: a + b,
        "ticks_diff": lambda a, b: a - b,
    }.items():
        monkeypatch.setattr(time, name, function, raising=False)


def test_the_pulse_points_up_and_its_level_is_taken_off() -> None:
    from pericard_node.max30102 import MAX30102  # type: ignore[import-not-found]

    light = [100_000] * 20 + [99_000] * 4 + [100_000] * 16
    chip = Chip(light=tuple(light))
    samples = array("h", bytes(2 * len(light)))
    MAX30102(chip).read_into(samples)
    assert set(samples[:20]) == {0}
    assert min(samples[20:24]) > 900  # less light: a beat
    assert max(abs(value) for value in samples[24:]) < 100
    # Red and infrared on, 100 samples a second at 18 bits.
    assert (chip.registers[0x09], chip.registers[0x0A]) == (0x03, 0x27)


def test_another_part_is_refused() -> None:
    from pericard_node.max30102 import MAX30102

    with pytest.raises(OSError, match="not a MAX30102"):
        MAX30102(Chip(part=0x11))


@pytest.mark.parametrize("lead", [32, 33])
def test_an_electrode_that_is_off_gives_a_flat_line(monkeypatch: pytest.MonkeyPatch, lead: int) -> None:
    from pericard_node.ad8232 import AD8232  # type: ignore[import-not-found]

    source = AD8232()
    samples = array("h", bytes(16))
    source.read_into(samples)
    assert list(samples) == list(range(8))
    monkeypatch.setattr(Pin, "levels", {lead: 1})
    source.read_into(samples)
    assert list(samples) == [0] * 8


def test_the_battery_is_read_behind_its_divider_over_the_whole_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an ESP32 answers: without the attenuation it cannot see more than about 1 V."""
    from pericard_node import power  # type: ignore[import-not-found]

    class BatteryPin:
        ATTN_11DB = 3
        _most = 950_000

        def __init__(self, number: int) -> None:
            assert number == 35

        def atten(self, how: int) -> None:
            assert how == self.ATTN_11DB
            self._most = 3_300_000

        def read_uv(self) -> int:
            return min(1_987_654, self._most)

    monkeypatch.setattr(sys.modules["machine"], "ADC", BatteryPin)
    monkeypatch.setattr(power, "machine", sys.modules["machine"])
    assert power.battery_volts(35, 2.0) == 3.98
    assert power.battery_volts(None, 2.0) is None


@pytest.mark.parametrize(("sensor", "detector"), [("max30102", "PulseDetector"), ("ad8232", "BeatDetector")])
def test_each_sensor_has_the_detector_for_what_it_measures(sensor: str, detector: str) -> None:
    from pericard_node.sensor import open_sensor  # type: ignore[import-not-found]

    opened = open_sensor(SimpleNamespace(SENSOR=sensor, WAVEFORM=False))
    assert type(opened._detector).__name__ == detector
    assert opened._detector.rate == opened._source.rate
