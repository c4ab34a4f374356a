"""The stored devices of one mount."""

from dataclasses import asdict
from typing import Any

import orjson

from pericard_kms.engines.devices.device import MAX_DEVICE, DeviceRecord
from pericard_kms.errors import Invalid, NotFound
from pericard_kms.storage.sealed_store import SealedStore


class DeviceBook:
    """Devices by number."""

    def __init__(self, store: SealedStore, mount: str) -> None:
        self._store = store
        self._prefix = f"mount/{mount}/device/"

    def names(self) -> list[str]:
        """The number of every enrolled device, as the API shows it."""
        return [str(int(name.removeprefix(self._prefix))) for name in self._store.names(self._prefix)]

    def __contains__(self, number: str) -> bool:
        return self._store.get(self._prefix + _key(number)) is not None

    def find(self, number: str) -> DeviceRecord:
        """The device `number`.

        Raises:
            Invalid: not a device's number.
            NotFound: it is not enrolled.
        """
        data = self._store.get(self._prefix + _key(number))
        if data is None:
            raise NotFound(f"device {number} is not enrolled")
        return DeviceRecord(**_of_this_release(orjson.loads(data)))

    def save(self, device: DeviceRecord) -> None:
        """Stores a new or changed device."""
        self._store.put(self._prefix + _key(str(device.id)), orjson.dumps(asdict(device)))

    def save_event(self, device: DeviceRecord, to: str, reason: str, **more: Any) -> None:
        """Stores a device with one more event in its history: what it became now, and why."""
        event = {"to": to, "time": self._store.clock(), "reason": reason, "epoch": device.epoch}
        device.history.append(event | more)
        self.save(device)


def _of_this_release(stored: dict[str, Any]) -> dict[str, Any]:
    """A stored device. An earlier release kept the beginning of its newest loss only, beside the history.

    Of its older losses only the time is known at which they were told.
    """
    newest = stored.pop("quarantined_since", None)
    lost = [event for event in stored["history"] if event["to"] == "lost"]
    if newest is not None:
        lost[-1].setdefault("since", newest)
    for event in lost:
        event.setdefault("since", event["time"])
    return stored


def _key(text: str) -> str:
    """A device's number as the store orders it: ten digits."""
    if not text.isdigit() or not text.isascii() or len(text) > 10 or int(text) > MAX_DEVICE:
        raise Invalid("a device id is a number up to 4294967295")
    return f"{int(text):010}"
