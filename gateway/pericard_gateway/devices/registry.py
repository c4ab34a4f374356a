"""The devices that this gateway may open: their keys, how far each has come, and the order of checks. No I/O.

The order is that of the device link's design: known and not revoked, epoch derivable, (boot, seq) not behind
the window, open, and only then move epoch and window. Nothing unauthenticated changes any state.
"""

from collections.abc import Collection, Iterable, Mapping

import pydantic
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from pericard_gateway.devices.window import Mark, ReplayWindow
from pericard_gateway.errors import EpochOutOfReach, RegistryError, RevokedDevice, UnknownDevice
from pericard_protocol.device.frame import KEY_BYTES, Frame, open_frame
from pericard_protocol.device.ratchet import MAX_AHEAD, MAX_EPOCH, advance
from pericard_protocol.schema import Section


class _Entry(Section):
    device: int = pydantic.Field(ge=0, le=0xFFFFFFFF)
    epoch: int = pydantic.Field(ge=0, le=MAX_EPOCH)
    key: str = pydantic.Field(repr=False, pattern=rf"^[0-9a-f]{{{2 * KEY_BYTES}}}$")
    owner: str = ""
    revoked: bool = False


class _Registry(Section):
    devices: list[_Entry]


class Device:
    """One device: its key of the current epoch and its replay window."""

    def __init__(self, key: bytes, epoch: int, *, revoked: bool = False) -> None:
        self._key, self._epoch, self.revoked = key, epoch, revoked
        self._cipher = ChaCha20Poly1305(key)
        self._window = ReplayWindow()

    def open(self, frame: Frame) -> bytes:
        """The payload of an authentic, fresh frame; the window and the epoch have then moved.

        Raises:
            RevokedDevice, EpochOutOfReach, Stale, Replayed, NotAuthentic: in this order; nothing has changed.
        """
        _, epoch, number, boot, seq = frame.header
        if self.revoked:
            raise RevokedDevice(f"device {number} was revoked")
        if epoch == self._epoch:
            self._window.check(boot, seq)
            payload = open_frame(self._cipher, frame)
        else:
            if not self._epoch < epoch <= self._epoch + MAX_AHEAD:
                raise EpochOutOfReach(f"device {number}: epoch {epoch} cannot be reached from {self._epoch}")
            self._window.check(boot, seq)
            key = advance(self._key, self._epoch, epoch)
            cipher = ChaCha20Poly1305(key)
            payload = open_frame(cipher, frame)
            self._key, self._cipher, self._epoch = key, cipher, epoch
        self._window.accept(boot, seq)
        return payload

    def resume(self, mark: Mark) -> None:
        """Continues where `mark`, written by an earlier run, left off.

        A key of a later epoch than the mark's has opened nothing yet, so its window begins anew: a device
        that was provisioned anew may begin at a boot that its earlier key had passed. Frames of the mark's
        epoch cannot be replayed: this key does not reach back.
        """
        if mark.epoch < self._epoch:
            return
        while self._epoch < mark.epoch:  # our own note, not a peer's word: any distance
            to = min(mark.epoch, self._epoch + MAX_AHEAD)
            self._key, self._epoch = advance(self._key, self._epoch, to), to
        self._cipher = ChaCha20Poly1305(self._key)
        self._window = ReplayWindow(mark)

    def mark(self) -> Mark:
        """How far the device has come."""
        return self._window.mark(self._epoch)


class Registry:
    """All devices by their id."""

    def __init__(self, devices: Mapping[int, Device]) -> None:
        self._devices = dict(devices)
        self._left: dict[int, Mark] = {}

    def __contains__(self, device: int) -> bool:
        return device in self._devices

    def __len__(self) -> int:
        return len(self._devices)

    def open(self, frame: Frame) -> bytes:
        """The payload of an authentic, fresh frame of a known device.

        Raises:
            UnknownDevice: not in the registry.
            DeviceError, NotAuthentic: as `Device.open`.
        """
        device = self._devices.get(frame.header.device)
        if device is None:
            raise UnknownDevice(f"device {frame.header.device} is not in the registry: provision it")
        return device.open(frame)

    def resume(self, marks: Mapping[int, Mark]) -> None:
        """Continues all devices from persisted marks; marks of devices no longer here are ignored."""
        for number, mark in marks.items():
            if number in self._devices:
                self._devices[number].resume(mark)

    def marks(self, devices: Iterable[int]) -> dict[int, Mark]:
        """How far each of `devices` has come; all must be, or have been, known."""
        return {
            number: self._devices[number].mark() if number in self._devices else self._left[number]
            for number in devices
        }

    def adopt(self, devices: Mapping[int, Device], marks: Mapping[int, Mark]) -> None:
        """Takes other keys for all devices, continuing from where the old ones had come.

        `marks` are the persisted ones; what was accepted since and waits for its commit counts too.
        """
        self.forget()
        self._devices = dict(devices)
        self.resume({**marks, **self._left})

    def forget(self) -> None:
        """Drops every key."""
        self.keep_only(())

    def keep_only(self, devices: Collection[int]) -> None:
        """Drops the keys of all but `devices`. Python cannot overwrite them; nothing refers to them then.

        How far a device had come stays known: frames that were opened may not be committed yet.
        """
        gone = self._devices.keys() - set(devices)
        self._left |= self.marks(gone)
        for number in gone:
            del self._devices[number]


def parse_registry(raw: bytes) -> Registry:
    """The registry in a JSON file `{"devices": [{"device", "epoch", "key" (hex), "owner", "revoked"}]}`.

    Raises:
        RegistryError: malformed, or a device stands twice. No message repeats a key.
    """
    try:
        entries = _Registry.model_validate_json(raw).devices
    except pydantic.ValidationError as error:
        fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        raise RegistryError(f"device registry: {where}: {fault['msg']}") from None
    devices = {
        entry.device: Device(bytes.fromhex(entry.key), entry.epoch, revoked=entry.revoked)
        for entry in entries
    }
    if len(devices) != len(entries):
        raise RegistryError("device registry: a device stands twice: keep the entry of its newest key")
    return Registry(devices)
