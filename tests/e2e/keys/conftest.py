"""A real KMS, opened, with the parties' roles; FHE keys as real as SEAL makes them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.parts.kms import KmsProcess
from tests.parts.ward_fixtures import hospital, server_port, signer, ward

from pericard_edge.confined import ConfinedExecutor, Limits
from pericard_edge.kms import KmsClient
from pericard_kms.access.roles import ROLES
from pericard_server.analysis import encryption
from pericard_server.custody.fhe import FheKeys

__all__ = ["hospital", "server_port", "signer", "ward"]


@pytest.fixture
def open_kms(tmp_path: Path) -> Iterator[tuple[KmsProcess, str]]:
    """The process and its root token."""
    process = KmsProcess(tmp_path / "kms")
    with KmsClient(process.url) as client:
        made = client.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        client.call("PUT", "sys/unseal", {"key": made["keys"][0]})
    with KmsClient(process.url, made["root_token"]) as client:
        for name, text in ROLES.items():
            client.call("PUT", f"sys/policies/acl/{name}", {"policy": text})
    yield process, made["root_token"]
    process.stop()


@pytest.fixture
def token_of(open_kms: tuple[KmsProcess, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a token of a role into the environment, as an operator does."""
    process, root = open_kms

    def take(role: str) -> None:
        with KmsClient(process.url, root) as client:
            made = client.call("POST", "auth/token/create", {"policies": [role], "no_parent": True})
        monkeypatch.setenv("PERICARD_KMS_TOKEN", made["auth"]["client_token"])

    return take


@pytest.fixture(scope="package")
def fhe_keys() -> FheKeys:
    with ConfinedExecutor(1, Limits()) as executor:
        return encryption.new_keys(executor)
