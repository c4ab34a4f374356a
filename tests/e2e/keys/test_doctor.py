"""The gateway's doctor with a KMS: it borrows nothing, opens sealed files, and names what a token lacks."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.parts.kms import KmsProcess
from tests.parts.ward import StandInHospital, Ward

from pericard_edge.config import load_settings
from pericard_edge.kms import KmsClient, seal_file
from pericard_gateway.config import GatewaySettings
from pericard_gateway.operations.doctor import Finding, examine
from pericard_tools.board.provision import KmsSource

pytestmark = pytest.mark.slow  # a KMS starts for each

DEVICE = 7


@pytest.fixture
def sealed_ward(ward: Ward, open_kms: tuple[KmsProcess, str]) -> GatewaySettings:
    """A gateway's configuration with [kms], its private files sealed, its device enrolled and never lent."""
    process, root = open_kms
    path = ward.configure()
    with KmsClient(process.url, root) as client:
        log_key = client.call("GET", "sys/audit-log/key")["public_key"]
        client.call("POST", "sys/mounts/transit", {"type": "transit"})
        client.call("POST", "transit/keys/ward-files", {})
        for name in ("tls.key", "identity.pem"):
            seal_file(client, "ward-files", ward.folder / name)
        mine = 'path "transit/decrypt/ward-files" { capabilities = ["update"] }'
        client.call("PUT", "sys/policies/acl/ward-files", {"policy": mine})
        KmsSource(client).issue(DEVICE, "bed 4")
    table = f'[kms]\naddress = "{process.url}"\nca = "ca.pem"\nlog_key = "{log_key}"\n'
    table += f'files_key = "ward-files"\ndevices = [{DEVICE}]\n'
    path.write_text(path.read_text().replace('devices = "registry.json"\n', "") + table)
    return load_settings(path, GatewaySettings)


@pytest.fixture
def token(open_kms: tuple[KmsProcess, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a token of these policies into the environment."""
    process, root = open_kms

    def take(*policies: str) -> None:
        with KmsClient(process.url, root) as client:
            made = client.call("POST", "auth/token/create", {"policies": policies, "no_parent": True})
        monkeypatch.setenv("PERICARD_KMS_TOKEN", made["auth"]["client_token"])

    return take


def found_by(settings: GatewaySettings) -> dict[str, Finding]:
    return {one.what: one for one in examine(settings)}


def state_of(open_kms: tuple[KmsProcess, str]) -> tuple[Any, Any]:
    """Every lease, and the device with its history."""
    process, root = open_kms
    with KmsClient(process.url, root) as client:
        status, leases = client.raw("LIST", "devices/leases")
        assert status in (200, 404)
        return leases.get("data", {}).get("keys", []), client.call("GET", f"devices/devices/{DEVICE}")


def test_a_good_gateway_is_found_good_and_nothing_is_borrowed(
    sealed_ward: GatewaySettings,
    hospital: StandInHospital,
    open_kms: tuple[KmsProcess, str],
    token: Callable[..., None],
) -> None:
    token("gateway", "ward-files")
    before = state_of(open_kms)
    found = found_by(sealed_ward)
    # The gateway itself does not run; all else is well, the certificate with its sealed key too.
    assert {what for what, one in found.items() if one.advice} == {"gateway"}
    assert {"KMS", "certificate", "clock"} <= set(found)
    assert state_of(open_kms) == before
    assert before[0] == []


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        (("ward-files",), "the KMS denies device keys: .* lacks the policy `gateway`"),
        (("cloud",), "lacks the policy `gateway`"),
    ],
)
def test_a_token_that_may_not_borrow_is_named(
    sealed_ward: GatewaySettings, token: Callable[..., None], policies: tuple[str, ...], said: str
) -> None:
    token(*policies)
    (denied,) = [one for one in found_by(sealed_ward).values() if one.advice]
    assert denied.what == "KMS"
    assert re.search(said, denied.found)


def test_a_token_that_the_kms_does_not_know_is_named(
    sealed_ward: GatewaySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERICARD_KMS_TOKEN", "s.nobody")
    (denied,) = [one for one in found_by(sealed_ward).values() if one.advice]
    assert denied.what == "KMS"
    assert "is over or revoked, or lacks the policy `gateway`" in denied.found
