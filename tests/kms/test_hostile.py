"""Invariant: whatever is asked of whatever path, by the root token even, is no internal error."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.parts.kms import VaultClient

FIELDS = [
    *("plaintext", "ciphertext", "context", "associated_data", "batch_input", "key_version", "input", "hmac"),
    *(
        "signature",
        "type",
        "derived",
        "convergent_encryption",
        "exportable",
        "auto_rotate_period",
        "bits",
        "bytes",
    ),
    *("format", "hash_algorithm", "algorithm", "signature_algorithm", "salt_length", "marshaling_algorithm"),
    *("prehashed", "state", "reason", "delay", "version", "min_decryption_version", "min_available_version"),
    *(
        "backup",
        "public_key",
        "hash_function",
        "policy",
        "policies",
        "ttl",
        "period",
        "num_uses",
        "meta",
        "token",
    ),
    *("accessor", "paths", "gateway", "devices", "frames", "used", "since", "received", "owner", "scheme"),
    *("secret", "evaluation", "recipient", "sha256", "purpose", "tag", "encapsulation", "suites", "position"),
    *(
        "start",
        "stop",
        "from",
        "to",
        "size",
        "nonce",
        "key",
        "secret_shares",
        "secret_threshold",
        "display_name",
    ),
    *(
        "usage_limit",
        "min_encryption_version",
        "explicit_max_ttl",
        "key_size",
        "partial_failure_response_code",
    ),
]
LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "YQ==", "vault:v1:AAAA", "vault:v1:", "1h", "-1", "sha2-256", "k", "7", "é"])
    | st.text(max_size=8)
)
VALUES = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5)
NAMES = st.sampled_from(
    ["k", "ed", "rsa", "mac", "kem", "none", "7", "anna", "q", "", "..", "%00", "%C3%A9", "a b"]
)
PATHS = st.sampled_from(
    [
        *(
            f"transit/{act}/{{}}"
            for act in ("encrypt", "decrypt", "rewrap", "sign", "verify", "hmac", "keys")
        ),
        *(
            f"transit/{act}/{{}}"
            for act in ("encapsulate", "decapsulate", "datakey/wrapped", "backup", "restore")
        ),
        *(f"transit/keys/{{}}/{act}" for act in ("config", "rotate", "trim", "state", "destroy", "import")),
        *("transit/keys/{}/import_version", "transit/export/signing-key/{}", "transit/byok-export/rsa/{}"),
        *("transit/random/{}", "transit/hash/{}", "transit/wrapping_key", "transit/keys", "transit/restore"),
        *(
            "sys/mounts/{}",
            "sys/policies/acl/{}",
            "sys/policy/{}",
            "sys/capabilities-self",
            "sys/capabilities",
        ),
        *(
            "sys/audit-log/entries",
            "sys/audit-log/inclusion",
            "sys/audit-log/consistency",
            "sys/audit-hash/{}",
        ),
        *("auth/token/create", "auth/token/lookup", "auth/token/renew", "auth/token/lookup-accessor"),
        *("devices/devices/{}", "devices/devices/{}/state", "devices/leases"),
        *(
            "devices/devices/{}/provision",
            "devices/leases/{}",
            "devices/leases/{}/reconcile",
            "devices/quarantine",
        ),
        *("patients/patients/{}/wrap", "patients/patients/{}/unwrap", "patients/patients/{}/datakey"),
        *("fhe/keys/{}", "fhe/keys/{}/release"),
        *("bundles/today", "bundles/keys/{}/decapsulate", "bundles/keys/{}/hold", "sys/health", "sys/init"),
        *("sys/unseal", "sys/rekey/init", "sys/rekey/update", "{}", "{}/{}"),
    ]
)


@pytest.fixture
def furnished(kms: VaultClient) -> VaultClient:
    """The same KMS for every request: it has something of every kind."""
    for key, kind in {"k": "aes256-gcm96", "ed": "ed25519", "rsa": "rsa-2048", "kem": "ml-kem-768"}.items():
        kms.ok("POST", f"transit/keys/{key}", {"type": kind})
    kms.ok("POST", "transit/keys/mac", {"type": "hmac", "key_size": 32})
    kms.ok("POST", "devices/devices/7", {})
    kms.ok("POST", "patients/patients/anna/datakey", {})
    kms.ok("POST", "fhe/keys/q", {"scheme": "ckks", "secret": "YQ==", "evaluation": "YQ=="})
    kms.ok("GET", "transit/wrapping_key")
    return kms


@pytest.mark.slow
@settings(max_examples=1500, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(["GET", "POST", "LIST", "DELETE", "PUT", "BREW"]), PATHS, NAMES, BODIES)
@example("POST", "transit/restore/{}", "k", {"backup": "eyJrZXkiOiB7fSwgInVzZXMiOiB7fX0="})
def test_no_request_is_an_internal_error(
    furnished: VaultClient, method: str, path: str, name: str, body: dict[str, Any]
) -> None:
    status, answer = furnished(method, path.replace("{}", name), body)
    assert status < 500 or (status == 501), (status, answer)
    assert status < 400 or isinstance(answer.get("errors", []), list), answer
    json.dumps(answer)
