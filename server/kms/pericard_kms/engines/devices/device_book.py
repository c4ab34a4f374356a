"""The stored devices of one mount."""

from dataclasses import asdict

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
        return DeviceRecord(**orjson.loads(data))

    def save(self, device: DeviceRecord) -> None:
        """Stores a new or changed device."""
        self._store.put(self._prefix + _key(str(device.id)), orjson.dumps(asdict(device)))

    def save_event(self, device: DeviceRecord, to: str, reason: str) -> None:
        """Stores a device with one more event in its history: what it became now, and why."""
        device.history.append(
            {"to": to, "time": self._store.clock(), "reason": reason, "epoch": device.epoch}
        )
        self.save(device)


def _key(text: str) -> str:
    """A device's number as the store orders it: ten digits."""
    if not text.isdigit() or not text.isascii() or len(text) > 10 or int(text) > MAX_DEVICE:
        raise Invalid("a device id is a number up to 4294967295")
    return f"{int(text):010}"
