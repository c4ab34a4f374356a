"""The gateway's device keys under a lease of a real KMS: lent, renewed with what was used, withdrawn."""

import asyncio
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from tests.parts.kms import KmsProcess

from pericard_edge.kms import KmsClient, KmsRefused, NoToken
from pericard_gateway.config import KmsLeaseSettings
from pericard_gateway.custody import kms as custody
from pericard_gateway.custody.kms import KmsCustody
from pericard_gateway.devices.registry import Registry
from pericard_gateway.devices.window import Mark
from pericard_gateway.errors import Replayed, UnknownDevice
from pericard_gateway.operations.counts import GatewayCounts
from pericard_protocol.device.frame import FrameType, Header, parse_frame, seal_frame
from pericard_protocol.device.lease import LeaseError
from pericard_tools.board.provision import Issued, KmsSource

pytestmark = pytest.mark.slow  # a KMS starts for each

DEVICE = 7
OTHER_KEY = b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()


class LeasedGateway:
    """A gateway's custody, with the board whose key the KMS issued."""

    def __init__(
        self, process: KmsProcess, root: str, issued: Issued, held: KmsCustody, counts: GatewayCounts
    ) -> None:
        self.process, self.root, self.issued, self.held, self.counts = process, root, issued, held, counts
        self.registry = held.registry()
        self.seq = 0
        self.needed = frozenset[str]()

    def opens(self) -> None:
        """The next frame of the board opens."""
        self.seq += 1
        header = Header(FrameType.VITALS, self.issued.epoch, DEVICE, 1, self.seq)
        frame = parse_frame(seal_frame(ChaCha20Poly1305(self.issued.key), header, b"x"))
        assert self.registry.open(frame) == b"x"
        self.counts.accept(DEVICE)

    def renewal_due(self) -> None:
        assert self.held._held
        self.held._held.renew_at = 0

    def lease_over(self) -> None:
        """By the monotonic clock; a clock that was set ahead has ended it already."""
        if self.held._held:
            self.held._held.ends_at = 0

    async def marks(self) -> dict[int, Mark]:
        return {DEVICE: Mark(self.issued.epoch, 1, self.seq, 2**64 - 1)}

    async def key_ids(self) -> frozenset[str]:
        return self.needed

    def kept_until(self, done: Callable[[], Any]) -> None:
        """Runs the keeper until `done`."""

        async def run() -> None:
            keeping = asyncio.create_task(self.held.keep(self.registry, self))
            deadline = time.monotonic() + 60
            while not done():
                assert time.monotonic() < deadline, "the keeper did nothing"
                assert not keeping.done()
                await asyncio.sleep(0.02)
            keeping.cancel()

        asyncio.run(run())

    def lease(self) -> dict[str, Any]:
        (lease,) = self.leases()
        return lease

    def leases(self) -> list[dict[str, Any]]:
        with KmsClient(self.process.url, self.root) as client:
            names = client.call("LIST", "devices/leases")["keys"]
            return [client.call("GET", f"devices/leases/{name}") for name in names]


@pytest.fixture
def leased(
    open_kms: tuple[KmsProcess, str],
    token_of: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[LeasedGateway]:
    process, root = open_kms
    monkeypatch.setattr(custody, "_TICK_SECONDS", 0.02)
    monkeypatch.setattr(custody, "_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(custody, "_HOLD_SECONDS", 0.05)
    with KmsClient(process.url, root) as client:
        issued = KmsSource(client).issue(DEVICE, "bed 4")
    token_of("gateway")
    counts = GatewayCounts()
    key = log_key(process, root)
    with held_by(process, key, counts, tmp_path / "state") as held:
        # Below what an operator may set: tests do not wait.
        held._kms = held._kms.model_copy(update={"ask_seconds": 0})
        yield LeasedGateway(process, root, issued, held, counts)


def log_key(process: KmsProcess, root: str) -> str:
    """As an operator notes it at the set-up."""
    with KmsClient(process.url, root) as client:
        return str(client.call("GET", "sys/audit-log/key")["public_key"])


@contextmanager
def held_by(process: KmsProcess, key: str, counts: GatewayCounts, state: Path) -> Iterator[KmsCustody]:
    kms = KmsLeaseSettings(
        address=process.url,
        ca=Path("none"),
        log_key=key,
        files_key="f",
        devices=[DEVICE],
        lease_frames=1000,
        ask_seconds=5,
    )
    with closing(KmsCustody("ward-1", kms, counts, state)) as held:
        yield held


def test_a_lent_key_opens_the_boards_frames(leased: LeasedGateway) -> None:
    leased.opens()
    lease = leased.lease()
    assert (lease["gateway"], lease["state"]) == ("ward-1", "held")
    assert lease["not_after"] - time.time() == pytest.approx(24 * 3600, abs=60)


def test_a_renewal_tells_what_was_opened_and_gives_more_time(leased: LeasedGateway) -> None:
    for _ in range(3):
        leased.opens()
    before = leased.lease()["not_after"]
    leased.renewal_due()
    leased.kept_until(lambda: leased.lease()["not_after"] > before)
    assert leased.lease()["used"] == 3
    leased.opens()
    leased.renewal_due()
    leased.kept_until(lambda: leased.lease()["used"] == 4)


def test_a_withdrawn_lease_drops_the_keys_at_its_next_word(leased: LeasedGateway) -> None:
    leased.opens()
    with KmsClient(leased.process.url, leased.root) as client:
        client.call("POST", f"devices/leases/{leased.lease()['id']}/revoke", {})
        client.call("POST", f"devices/devices/{DEVICE}/state", {"state": "suspended", "reason": "test"})
    leased.renewal_due()
    leased.kept_until(lambda: DEVICE not in leased.registry)
    with pytest.raises(UnknownDevice):
        leased.opens()
    time.sleep(0.3)
    assert DEVICE not in leased.registry, "a suspended device was lent again"
    with KmsClient(leased.process.url, leased.root) as client:
        client.call("POST", f"devices/devices/{DEVICE}/state", {"state": "active", "reason": "test"})
    leased.kept_until(lambda: DEVICE in leased.registry)
    old = seal_frame(ChaCha20Poly1305(leased.issued.key), Header(FrameType.VITALS, 0, DEVICE, 1, 1), b"x")
    with pytest.raises(Replayed):  # the marks came along
        leased.registry.open(parse_frame(old))
    leased.seq += 100
    leased.opens()


@pytest.mark.parametrize("others", [[], [8]])
def test_a_device_that_left_the_lease_is_dropped_long_before_the_renewal(
    leased: LeasedGateway, others: list[int]
) -> None:
    """Lost, found and given a new key: the old one, which a thief may know, opens nothing any more."""
    with KmsClient(leased.process.url, leased.root) as client:
        for other in others:
            KmsSource(client).issue(other, "bed 5")
        leased.held._kms.devices.extend(others)
        leased.registry = leased.held.registry()
        leased.opens()
        client.call("POST", f"devices/devices/{DEVICE}/state", {"state": "lost", "reason": "test"})
        first = leased.held._id
        leased.kept_until(lambda: DEVICE not in leased.registry)
        with pytest.raises(UnknownDevice):
            leased.opens()
        assert all(other in leased.registry for other in others)
        assert leased.held._id == (first if others else None)
        leased.kept_until(lambda: "is lost" in leased.counts.not_lent.get(DEVICE, ""))
        assert list(leased.counts.not_lent) == [DEVICE]


def test_a_ward_hears_its_other_devices_while_one_is_lost(leased: LeasedGateway) -> None:
    """Also after a restart; and the found one again, under its new key, without one."""
    with KmsClient(leased.process.url, leased.root) as client:
        other = KmsSource(client).issue(8, "bed 5")
        client.call("POST", "devices/devices/8/state", {"state": "lost", "reason": "test"})
        leased.held._kms.devices.append(8)
        leased.registry = leased.held.registry()
        leased.opens()
        assert leased.counts.not_lent == {8: "device 8 is lost: it cannot be lent"}
        found = KmsSource(client).issue(8, "bed 5")
        assert found.key != other.key
        leased.kept_until(lambda: 8 in leased.registry)
        assert leased.counts.not_lent == {}
        frame = seal_frame(ChaCha20Poly1305(found.key), Header(FrameType.VITALS, found.epoch, 8, 9, 0), b"y")
        assert leased.registry.open(parse_frame(frame)) == b"y"
        leased.opens()


def test_a_gateway_says_that_it_dropped_a_key_also_after_it_was_killed(
    leased: LeasedGateway, tmp_path: Path
) -> None:
    """What is received once no gateway knows the old key any more is in no doubt."""

    def until() -> float:
        (loss,) = client.call("GET", "devices/quarantine")["losses"]
        return float(loss["until"] or 0.0)

    with KmsClient(leased.process.url, leased.root) as client:
        leased.kept_until((tmp_path / "state" / "leases.json").exists)
        # Killed, and the device lost and found before the gateway runs again.
        client.call("POST", f"devices/devices/{DEVICE}/state", {"state": "lost", "reason": "test"})
        leased.issued = KmsSource(client).issue(DEVICE, "bed 4")
        assert until() > time.time() + 3600
        key = log_key(leased.process, leased.root)
        with held_by(leased.process, key, leased.counts, tmp_path / "state") as restarted:
            leased.held = restarted
            leased.registry = restarted.registry()
            assert until() > time.time() + 3600  # whoever only looks gives nothing back
            leased.kept_until(lambda: until() <= time.time())
            leased.opens()


def test_needed_kem_keys_are_held_and_released_also_after_a_restart(
    leased: LeasedGateway, tmp_path: Path
) -> None:
    def holders(key_id: str) -> list[str]:
        with KmsClient(leased.process.url, leased.root) as client:
            found: list[str] = client.call("GET", f"bundles/keys/{key_id}")["holds"]
            return found

    with KmsClient(leased.process.url, leased.root) as client:
        ids = [client.call("GET", f"bundles/today?suites={suite}")["key_id"] for suite in (0x647A, 0x0041)]
    leased.needed = frozenset(ids)
    leased.kept_until(lambda: all(holders(one) == ["ward-1"] for one in ids))
    leased.needed = frozenset(ids[:1])
    leased.kept_until(lambda: holders(ids[1]) == [])
    assert holders(ids[0]) == ["ward-1"]
    leased.needed = frozenset()
    key = log_key(leased.process, leased.root)
    with held_by(leased.process, key, leased.counts, tmp_path / "state") as restarted:
        leased.held = restarted
        leased.registry = restarted.registry()
        leased.kept_until(lambda: holders(ids[0]) == [])


def test_an_absent_kms_is_borne_until_the_leases_end(
    leased: LeasedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    leased.process.stop()
    leased.renewal_due()
    leased.kept_until(lambda: "the KMS does not answer" in caplog.text)
    leased.opens()
    leased.lease_over()
    leased.kept_until(lambda: DEVICE not in leased.registry)


def test_more_frames_than_lent_end_the_lease(leased: LeasedGateway) -> None:
    for _ in range(1001):
        leased.opens()
    first = leased.lease()["id"]
    leased.kept_until(lambda: len(leased.leases()) == 2)
    assert first in {lease["id"] for lease in leased.leases()}


def test_no_lease_no_gateway(
    open_kms: tuple[KmsProcess, str],
    token_of: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    process, root = open_kms
    key = log_key(process, root)
    token_of("cloud")
    with (
        held_by(process, key, GatewayCounts(), tmp_path) as held,
        pytest.raises(KmsRefused, match="permission denied"),
    ):
        held.registry()
    token_of("gateway")
    with held_by(process, key, GatewayCounts(), tmp_path) as held, pytest.raises(KmsRefused, match="7"):
        held.registry()  # never enrolled
    monkeypatch.delenv("PERICARD_KMS_TOKEN")
    with (
        pytest.raises(NoToken, match="pericard kms token --policy gateway"),
        held_by(process, key, GatewayCounts(), tmp_path),
    ):
        pass


def test_a_lease_that_our_kms_did_not_sign_lends_nothing(leased: LeasedGateway, tmp_path: Path) -> None:
    """As one who poses as the KMS on the network: his leases are signed, by another key."""
    with (
        held_by(leased.process, OTHER_KEY, GatewayCounts(), tmp_path) as held,
        pytest.raises(LeaseError, match="not signed by this KMS"),
    ):
        held.registry()


def test_who_poses_as_the_kms_can_neither_renew_a_lease_nor_end_it(
    leased: LeasedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    leased.opens()
    assert leased.held._held
    until = leased.held._held.ends_at
    leased.held._log_key = b64decode(OTHER_KEY)
    leased.renewal_due()
    leased.kept_until(lambda: "a lease is refused" in caplog.text)
    leased.opens()
    assert leased.held._held.ends_at == until
    leased.lease_over()
    leased.kept_until(lambda: DEVICE not in leased.registry)
    caplog.clear()
    leased.kept_until(lambda: "a lease is refused" in caplog.text)
    assert DEVICE not in leased.registry


@pytest.mark.parametrize(
    "spoil",
    [
        lambda keys: keys.clear(),
        lambda keys: keys["7"].update(key=b64encode(bytes(32)).decode()),
        lambda keys: keys["7"].update(key="c2hvcnQ="),
        lambda keys: keys["7"].update(key=7),
        lambda keys: keys.update({"8": keys["7"]}),
    ],
)
def test_keys_that_are_not_those_of_the_lease_are_refused(
    leased: LeasedGateway, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[dict[str, Any]], object]
) -> None:
    ask = leased.held._client.call

    def spoiled(*asked: Any) -> dict[str, Any]:
        answer = ask(*asked)
        spoil(answer["keys"])
        return answer

    monkeypatch.setattr(leased.held._client, "call", spoiled)
    with pytest.raises(LeaseError):
        leased.held.registry()


def test_keys_of_two_devices_that_are_exchanged_are_refused(
    leased: LeasedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with KmsClient(leased.process.url, leased.root) as client:
        KmsSource(client).issue(8, "bed 5")
    leased.held._kms.devices.append(8)
    ask = leased.held._client.call

    def exchanged(*asked: Any) -> dict[str, Any]:
        answer = ask(*asked)
        answer["keys"] = {"7": answer["keys"]["8"], "8": answer["keys"]["7"]}
        return answer

    monkeypatch.setattr(leased.held._client, "call", exchanged)
    with pytest.raises(LeaseError, match="not the one that the lease names"):
        leased.held.registry()


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_gateway_whose_clock_is_set_wrong_opens_no_frame_past_the_lease(
    leased: LeasedGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hours: int
) -> None:
    """It would date its frames wrong; and a lease must not last longer because a clock was set back."""
    right = time.time
    monkeypatch.setattr("time.time", lambda: right() + hours * 3600)
    leased.kept_until(lambda: "a lease is refused" in caplog.text)
    assert "check the clocks" in leased.counts.lease
    leased.lease_over()
    leased.kept_until(lambda: DEVICE not in leased.registry)
    caplog.clear()
    leased.kept_until(lambda: "a lease is refused" in caplog.text)
    assert DEVICE not in leased.registry


def test_a_recorded_answer_of_the_kms_brings_a_lost_device_back_nowhere(
    leased: LeasedGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one who stands between the two, and plays yesterday's lease when it is asked for."""
    ask = leased.held._client.call
    recorded: dict[str, dict[str, Any]] = {}

    def answered(*asked: Any) -> dict[str, Any]:
        return recorded.setdefault(asked[1], ask(*asked))

    monkeypatch.setattr(leased.held._client, "call", answered)
    leased.registry = leased.held.registry()
    right = time.time
    monkeypatch.setattr("time.time", lambda: right() + 120)
    with pytest.raises(LeaseError, match="not signed just now"):
        leased.held.registry()


def test_a_kms_that_is_sealed_is_borne_like_one_that_is_absent(
    leased: LeasedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """It restarted, and waits for its keepers: nobody has withdrawn anything."""
    leased.opens()
    with KmsClient(leased.process.url, leased.root) as client:
        client.call("PUT", "sys/seal")
    leased.renewal_due()
    leased.kept_until(lambda: "the KMS does not answer" in caplog.text)
    leased.opens()


def test_keys_are_in_no_repr_and_no_error(leased: LeasedGateway) -> None:
    shown = repr(vars(leased.held)) + repr(vars(leased.registry)) + repr(leased.issued)
    assert leased.issued.key.hex() not in shown
    assert json.dumps(list(leased.issued.key))[1:-1] not in shown
    assert isinstance(leased.registry, Registry)
