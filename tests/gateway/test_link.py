"""The invariants: any bytes give frames or counted rejections, no exception; a forgery moves nothing."""

import json
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parts.ward import Device, vitals

from pericard_gateway.devices import registry
from pericard_gateway.devices.link import Link
from pericard_gateway.devices.registry import Registry, parse_registry
from pericard_gateway.devices.window import Mark
from pericard_gateway.errors import RegistryError
from pericard_gateway.operations.counts import GatewayCounts
from pericard_protocol.device.frame import FrameType
from pericard_protocol.device.ratchet import MAX_AHEAD, advance
from pericard_protocol.device.stream import encode_packet
from pericard_protocol.proto.uplink_pb2 import OpenedFrame


def _registry(*devices: Device, **more: object) -> Registry:
    return parse_registry(json.dumps({"devices": [device.entry | more for device in devices]}).encode())


class _Line:
    def __init__(self, *devices: Device, **more: object) -> None:
        self.counts = GatewayCounts()
        self.registry = _registry(*devices, **more)
        self.link = Link(self.registry, self.counts)

    def opened(self, data: bytes) -> list[OpenedFrame]:
        return self.link.feed(data, 7)[0]

    def reasons(self, data: bytes) -> list[str]:
        return [error.reason for error in self.link.feed(data, 7)[1]]


def test_a_frame_is_opened_and_its_payload_untouched() -> None:
    device = Device(7)
    payload = b'{ "timestamp":1.50, "sensor_id":"s", "age":70,"heart_rate_bpm":60, "more":[1] }'
    (frame,) = _Line(device).opened(device.packet(payload))
    assert (frame.device, frame.epoch, frame.boot, frame.seq, frame.type) == (7, 0, 1, 0, 1)
    assert frame.payload == payload
    assert frame.received_at_us == 7


@pytest.mark.parametrize("kind", [FrameType.WAVEFORM, FrameType.STATUS, FrameType.PROXIMITY])
def test_other_types_are_carried_as_they_are(kind: FrameType) -> None:
    device = Device(7)
    (frame,) = _Line(device).opened(encode_packet(device.frame(b"\0\1 not JSON", kind)))
    assert (frame.type, frame.payload) == (kind, b"\0\1 not JSON")


@given(st.lists(st.binary(max_size=700), max_size=20))
def test_any_bytes_are_rejections(parts: list[bytes]) -> None:
    line = _Line(Device(1))
    rejected = [reason for part in parts for reason in line.reasons(part)]
    assert line.counts.rejected == Counter(rejected)
    assert not line.counts.devices or 1 in line.counts.devices


@given(st.binary(max_size=900), st.data())
def test_a_frame_between_junk_arrives_however_it_is_cut(junk: bytes, data: st.DataObject) -> None:
    device = Device(1)
    line = _Line(device)
    stream = junk + b"\0" + device.packet() + junk
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert sum(len(line.opened(piece)) for piece in pieces) == 1


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_no_frame_is_accepted_twice(order: list[int]) -> None:
    device = Device(1)
    packets = [device.packet() for _ in range(10)]
    line = _Line(device)
    accepted = [frame.seq for number in order for frame in line.opened(packets[number])]
    assert sorted(accepted) == sorted(set(order))
    counts = line.counts.devices[1]
    assert counts.received == len(order) == counts.accepted + counts.rejected.total()


@given(st.integers(0, 15 + 3), st.integers(1, 255))
def test_a_changed_frame_moves_nothing(place: int, flip: int) -> None:
    """Whatever an attacker writes into a header or a tag, the genuine frame is still accepted afterwards."""
    device = Device(1)
    genuine = device.frame()
    forged = bytearray(genuine)
    forged[place if place < 16 else place - 19] ^= flip
    line = _Line(device)
    assert line.opened(encode_packet(bytes(forged))) == []
    assert len(line.opened(encode_packet(genuine))) == 1
    assert line.counts.rejected.total() == 1


def _spoil(frame: bytes, at: int) -> bytes:
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("garbage", lambda d: b"\x05ab\0"),
        ("overlong", lambda d: b"x" * 600 + b"\0"),
        ("length", lambda d: encode_packet(b"short")),
        ("version", lambda d: encode_packet(_spoil(d.frame(), 0))),
        ("unknown device", lambda d: Device(99).packet()),
        ("not authentic", lambda d: encode_packet(_spoil(d.frame(), -1 % 60))),
        ("replayed", lambda d: (p := d.packet()) + p),
        ("vitals", lambda d: d.packet(b'{"age": 1}')),
        ("vitals", lambda d: d.packet(vitals(age="old"))),
    ],
)
def test_each_rejection_has_its_reason_and_the_rest_goes_on(
    reason: str, make: Callable[[Device], bytes]
) -> None:
    device = Device(1)
    line = _Line(device)
    assert line.reasons(make(device)) == [reason]
    assert line.counts.rejected == {reason: 1}
    assert len(line.opened(device.packet())) == 1


def test_a_revoked_device_is_refused() -> None:
    device = Device(1)
    assert _Line(device, revoked=True).reasons(device.packet()) == ["revoked"]


def test_an_earlier_boot_is_stale() -> None:
    device = Device(1)
    early = device.packet()
    device.boot = 2
    line = _Line(device)
    assert len(line.opened(device.packet())) == 1
    assert line.reasons(early) == ["stale"]


def test_the_gateway_follows_a_new_epoch_and_never_returns() -> None:
    device = Device(1)
    line = _Line(device)
    old = device.packet()
    device.key, device.epoch = advance(device.key, 0, 3), 3
    (frame,) = line.opened(device.packet())
    assert frame.epoch == 3
    assert line.reasons(old) == ["epoch"]
    assert line.registry.marks([1])[1].epoch == 3


def test_an_epoch_too_far_ahead_is_refused_and_costs_nothing() -> None:
    device = Device(1)
    line = _Line(device)
    device.epoch = MAX_AHEAD + 1
    assert line.reasons(device.packet()) == ["epoch"]


def test_a_forged_epoch_moves_nothing() -> None:
    device = Device(1)
    line = _Line(device)
    device.epoch = 5  # the header says so; the key is still that of epoch 0
    assert line.reasons(device.packet()) == ["not authentic"]
    device.epoch = 0
    assert len(line.opened(device.packet())) == 1


def test_a_restart_continues_at_the_marks() -> None:
    device = Device(1)
    before, after = _Line(device), _Line(device)  # both read the registry as provisioning wrote it
    accepted = []
    for epoch in (MAX_AHEAD, MAX_AHEAD + 8):  # further than a peer may jump at once
        device.key, device.epoch = advance(device.key, device.epoch, epoch), epoch
        accepted.append(device.packet())
        assert len(before.opened(accepted[-1])) == 1
    marks = before.registry.marks([1])
    after.registry.resume({**marks, 77: marks[1]})  # 77 has left the registry since
    assert after.reasons(b"".join(accepted)) == ["epoch", "replayed"]
    assert len(after.opened(device.packet())) == 1


def test_a_device_that_was_provisioned_anew_is_heard_from_its_first_boot() -> None:
    """The KMS hears of a boot half a lease late: it may give a key with a boot that is behind the mark."""
    earlier, anew = Device(1), Device(1)
    earlier.boot = 5
    line = _Line(earlier)
    packet = earlier.packet()
    assert len(line.opened(packet)) == 1
    anew.epoch = 1
    line.registry.adopt({1: registry.Device(anew.key, anew.epoch)}, {})
    assert len(line.opened(first := anew.packet())) == 1
    assert line.reasons(packet + first) == ["epoch", "replayed"]


def test_keys_that_are_dropped_and_lent_again_reopen_no_window() -> None:
    """A lease ends while an opened frame still waits for its commit: its mark is not lost with the key."""
    device = Device(1)
    line = _Line(device)
    packet = device.packet()
    assert len(line.opened(packet)) == 1
    line.registry.forget()
    assert line.registry.marks([1]) == {1: Mark(0, 1, 0, 1)}
    assert line.reasons(packet) == ["unknown device"]
    line.registry.adopt({1: registry.Device(device.key, 0)}, {})
    assert line.reasons(packet) == ["replayed"]
    assert len(line.opened(device.packet())) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"{",
        b'{"devices": [{"device": 1, "epoch": 0, "key": "5EC2E7"}]}',
        b'{"devices": [{"device": 1, "epoch": 0}]}',
        b'{"devices": [{"device": -1, "epoch": 0, "key": "' + b"5e" * 32 + b'"}]}',
        b'{"devices": [' + b",".join([b'{"device":1,"epoch":0,"key":"' + b"5e" * 32 + b'"}'] * 2) + b"]}",
    ],
)
def test_a_wrong_registry_is_refused_without_a_word_of_its_keys(raw: bytes) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_registry(raw)
    assert "5e" not in str(caught.value).lower()
