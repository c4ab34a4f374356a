"""hvac, unchanged, against the real command: what it offers on transit, tokens, policies, seal and health."""

import base64
from typing import Any

import hvac
import pytest
from hvac import exceptions
from tests.parts.kms import KmsProcess

PLAIN = base64.b64encode(b"64 bytes of a heart").decode()


@pytest.fixture
def client(process: KmsProcess) -> Any:
    client = hvac.Client(url=process.url)
    assert not client.sys.is_initialized()
    assert client.sys.read_health_status(method="GET").status_code == 501
    made = client.sys.initialize(secret_shares=5, secret_threshold=3)
    assert len(made["keys"]) == len(made["keys_base64"]) == 5
    assert client.sys.read_health_status(method="GET").status_code == 503
    with pytest.raises(exceptions.VaultDown, match="sealed"):
        client.secrets.transit.list_keys()
    client.sys.submit_unseal_key(made["keys"][4])
    assert client.sys.read_seal_status()["progress"] == 1
    client.sys.submit_unseal_keys(made["keys_base64"][:2])
    assert not client.sys.is_sealed()
    assert client.sys.read_health_status(method="HEAD").status_code == 200
    client.token = made["root_token"]
    assert client.is_authenticated()
    client.sys.enable_secrets_engine("transit")
    client.unseal_keys = made["keys"]
    return client


def test_transit(client: Any) -> None:
    transit = client.secrets.transit
    transit.create_key("k", exportable=True, allow_plaintext_backup=True)
    transit.create_key("derived", derived=True, convergent_encryption=True)
    assert transit.list_keys()["data"]["keys"] == ["derived", "k"]
    box = transit.encrypt_data("k", plaintext=PLAIN, associated_data=PLAIN)["data"]["ciphertext"]
    assert transit.decrypt_data("k", ciphertext=box, associated_data=PLAIN)["data"]["plaintext"] == PLAIN
    with pytest.raises(exceptions.InvalidRequest, match="authentication failed"):
        transit.decrypt_data("k", ciphertext=box)
    context = {"context": PLAIN}
    one, two = (
        transit.encrypt_data("derived", plaintext=PLAIN, **context)["data"]["ciphertext"] for _ in range(2)
    )
    assert one == two
    batch = transit.encrypt_data("k", batch_input=[{"plaintext": PLAIN}] * 3)["data"]["batch_results"]
    opened = transit.decrypt_data("k", batch_input=[{"ciphertext": item["ciphertext"]} for item in batch])
    assert [item["plaintext"] for item in opened["data"]["batch_results"]] == [PLAIN] * 3
    transit.rotate_key("k")
    assert transit.rewrap_data("k", ciphertext=batch[0]["ciphertext"])["data"]["ciphertext"][:8] == "vault:v2"
    transit.rotate_key("k")
    transit.update_key_configuration("k", min_decryption_version=2, min_encryption_version=3)
    transit.update_key_configuration("k", deletion_allowed=True)
    transit.trim_key("k", min_version=2)
    assert transit.read_key("k")["data"]["min_available_version"] == 2
    assert list(transit.export_key("k", key_type="encryption-key")["data"]["keys"]) == ["2", "3"]
    assert "plaintext" in transit.generate_data_key("k", key_type="plaintext")["data"]
    assert len(base64.b64decode(transit.generate_random_bytes(n_bytes=16)["data"]["random_bytes"])) == 16
    assert len(transit.hash_data(PLAIN, algorithm="sha2-256")["data"]["sum"]) == 64
    tag = transit.generate_hmac("k", hash_input=PLAIN, algorithm="sha2-512")["data"]["hmac"]
    valid = transit.verify_signed_data("k", hash_input=PLAIN, hmac=tag, hash_algorithm="sha2-512")
    assert valid["data"]["valid"]
    backup = transit.backup_key("k")["data"]["backup"]
    transit.delete_key("k")
    with pytest.raises(exceptions.InvalidPath):
        transit.read_key("k")
    transit.restore_key(backup)
    assert transit.read_key("k")["data"]["latest_version"] == 3


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256", "rsa-2048"])
@pytest.mark.slow
def test_signatures(client: Any, kind: str) -> None:
    transit = client.secrets.transit
    transit.create_key("s", key_type=kind)
    more = {"signature_algorithm": "pss", "marshaling_algorithm": "asn1"}
    signed = transit.sign_data("s", hash_input=PLAIN, hash_algorithm="sha2-256", **more)["data"]["signature"]
    checked = transit.verify_signed_data("s", PLAIN, signature=signed, hash_algorithm="sha2-256", **more)
    assert checked["data"]["valid"]


@pytest.mark.slow
def test_tokens_and_policies(client: Any) -> None:
    client.sys.create_or_update_policy("gateway", 'path "transit/encrypt/*" { capabilities = ["update"] }')
    client.sys.create_or_update_policy("json", {"path": {"transit/*": {"capabilities": ["read"]}}})
    assert set(client.sys.list_policies()["data"]["policies"]) == {"default", "gateway", "json", "root"}
    assert set(client.sys.list_acl_policies()["data"]["keys"]) == {"default", "gateway", "json", "root"}
    assert "encrypt" in client.sys.read_policy("gateway")["data"]["rules"]
    assert "encrypt" in client.sys.read_acl_policy("gateway")["data"]["policy"]
    client.secrets.transit.create_key("k")
    made = client.auth.token.create(policies=["gateway"], ttl="1h", meta={"ward": "north"})
    token = made["auth"]["client_token"]
    looked = client.auth.token.lookup(token)["data"]
    assert (looked["policies"], looked["meta"], looked["ttl"] > 3590) == (
        ["default", "gateway"],
        {"ward": "north"},
        True,
    )
    assert client.auth.token.lookup_accessor(made["auth"]["accessor"])["data"]["id"] == ""
    assert made["auth"]["accessor"] in client.auth.token.list_accessors()["data"]["keys"]
    ward = hvac.Client(url=client.url, token=token)
    ward.secrets.transit.encrypt_data("k", plaintext=PLAIN)
    with pytest.raises(exceptions.Forbidden, match="permission denied"):
        ward.secrets.transit.read_key("k")
    granted = ward.sys.get_capabilities(["transit/encrypt/k"])["data"]["transit/encrypt/k"]
    assert granted == ["update"]
    assert ward.auth.token.renew_self()["auth"]["client_token"] == token
    client.auth.token.renew(token, increment="30m")
    orphan = client.auth.token.create_orphan(policies=["gateway"])["auth"]["client_token"]
    assert client.auth.token.lookup(orphan)["data"]["orphan"]
    client.auth.token.revoke(token)
    assert not ward.is_authenticated()
    client.sys.delete_policy("json")
    client.auth.token.tidy()


@pytest.mark.slow
def test_seal_and_the_rest(client: Any) -> None:
    assert client.sys.read_leader_status() == {"ha_enabled": False}
    mounts = client.sys.list_mounted_secrets_engines()["data"]
    assert mounts["transit/"]["type"] == "transit"
    client.sys.rotate_encryption_key()
    assert client.key_status["term"] == 2
    assert "merkle/" in client.sys.list_enabled_audit_devices()["data"]
    assert client.sys.calculate_hash("merkle", "x")["data"]["hash"].startswith("hmac-sha256:")
    client.secrets.transit.create_key("k")
    client.sys.seal()
    assert client.sys.is_sealed()
    with pytest.raises(exceptions.VaultDown):
        client.secrets.transit.read_key("k")
    client.sys.submit_unseal_keys(client.unseal_keys[1:4])
    assert client.secrets.transit.read_key("k")["data"]["latest_version"] == 1
    nonce = client.sys.start_rekey(secret_shares=3, secret_threshold=2)["nonce"]
    rekeyed = client.sys.rekey_multi(client.unseal_keys[:3], nonce=nonce)
    client.sys.seal()
    client.sys.submit_unseal_keys(rekeyed["keys"][:2])
    client.sys.disable_secrets_engine("transit")
    wrong = hvac.Client(url=client.url, token=client.token, namespace="other")
    with pytest.raises(exceptions.InvalidRequest, match="namespaces"):
        wrong.sys.list_mounted_secrets_engines()
