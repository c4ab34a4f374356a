"""[kem] of gateway.toml: the provider asked for seals, is shown, and is never replaced by another."""

import asyncio

import cryptography
import pytest
from tests.parts.liboqs_js import LiboqsJs, Oqs
from tests.parts.ward import StandInHospital, Ward, telling

from pericard_edge.config import load_settings
from pericard_gateway.config import GatewaySettings
from pericard_gateway.operations.doctor import Finding, examine
from pericard_gateway.service import GatewayService
from pericard_protocol.uplink import liboqs
from pericard_protocol.uplink.liboqs import NoLiboqs

LIBOQS = '[kem]\nprovider = "liboqs"\n'


def _told(ward: Ward) -> Finding:
    return next(
        one for one in examine(load_settings(ward.configure(), GatewaySettings)) if one.what == "KEM provider"
    )


@pytest.mark.slow
def test_without_a_word_the_running_gateway_seals_by_cryptography(
    ward: Ward, hospital: StandInHospital
) -> None:
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    hospital.wait_for(1)
    expected = f"cryptography {cryptography.__version__}"
    assert ward.status()["kem"] == expected
    assert f'"kem": "{expected}"' in ward.log
    assert _told(ward) == Finding("KEM provider", f"{expected} computes ML-KEM")


def test_liboqs_seals_when_asked_for(
    ward: Ward, hospital: StandInHospital, liboqs_js: LiboqsJs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liboqs, "load_liboqs", lambda: Oqs(liboqs_js))
    ward.extra = LIBOQS
    before = liboqs_js.asked.copy()

    async def delivered() -> str:
        stop, ready = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(
            GatewayService(load_settings(ward.configure(), GatewaySettings)).run(stop, telling(ready))
        )
        await ready.wait()
        ward.lines[0].write(ward.devices[0].packet())
        await asyncio.to_thread(hospital.wait_for, 1)
        shown = str((await asyncio.to_thread(ward.status))["kem"])
        stop.set()
        await running
        return shown

    assert asyncio.run(delivered()).startswith("liboqs ")
    assert liboqs_js.asked - before == {("encapsulate", "ML-KEM-768"): 1}  # of the hybrid suite
    assert _told(ward).found.startswith("liboqs ")


def test_the_native_library_seals_when_asked_for(ward: Ward, hospital: StandInHospital) -> None:
    if why := liboqs.missing():
        pytest.skip(f"liboqs: {why}")
    ward.extra = LIBOQS
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    hospital.wait_for(1)
    assert ward.status()["kem"].startswith("liboqs ")
    assert not _told(ward).advice


def test_a_provider_that_is_not_installed_is_refused(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liboqs, "find_spec", lambda name: None)
    ward.extra = LIBOQS
    with pytest.raises(NoLiboqs, match="pip install"):
        GatewayService(load_settings(ward.configure(), GatewaySettings))
    (only,) = examine(load_settings(ward.configure(), GatewaySettings))
    assert only.what == "KEM provider"
    assert "pip install" in only.found
    assert "does not start" in only.advice


@pytest.mark.slow
def test_the_doctor_sees_that_the_running_gateway_has_another(
    ward: Ward, liboqs_js: LiboqsJs, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward.start()
    monkeypatch.setattr(liboqs, "load_liboqs", lambda: Oqs(liboqs_js))
    ward.extra = LIBOQS
    assert _told(ward).advice == "restart the gateway"
