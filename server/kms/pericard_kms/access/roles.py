"""The policies of a hospital's parties, least privilege each; `pericard kms roles` writes them."""

ROLES = {
    # Holds device keys under leases, seals to the day's bundle; opens nothing of the hospital's.
    "gateway": """
path "bundles/identity"            { capabilities = ["read"] }
path "bundles/today"               { capabilities = ["read"] }
path "bundles/keys/+/hold"         { capabilities = ["update"] }
path "bundles/keys/+/release"      { capabilities = ["update"] }
path "devices/leases"              { capabilities = ["update"] }
path "devices/leases/+"            { capabilities = ["read"] }
path "devices/leases/+/renew"      { capabilities = ["update"] }
path "devices/leases/+/reconcile"  { capabilities = ["update"] }
""",
    # Opens sessions, wraps and unwraps data keys, works with FHE keys; makes and ends no key. Of the transit
    # keys it has the one under which its own private files are sealed: with more, its thief could open a
    # gateway's files.
    "server": """
path "bundles/identity"            { capabilities = ["read"] }
path "bundles/today"               { capabilities = ["read"] }
path "bundles/keys/+/decapsulate"  { capabilities = ["update"] }
path "devices/quarantine"          { capabilities = ["read"] }
path "patients/patients/+/datakey" { capabilities = ["update"] }
path "patients/patients/+/wrap"    { capabilities = ["update"] }
path "patients/patients/+/unwrap"  { capabilities = ["update"] }
path "fhe/keys/+"                  { capabilities = ["read", "update"] }
path "fhe/keys/+/evaluation"       { capabilities = ["read"] }
path "fhe/keys/+/release"          { capabilities = ["update"] }
path "transit/encrypt/hospital-files" { capabilities = ["update"] }
path "transit/decrypt/hospital-files" { capabilities = ["update"] }
path "transit/rewrap/hospital-files"  { capabilities = ["update"] }
""",
    # Computes blindly: evaluation keys, no secret, no plaintext.
    "cloud": """
path "fhe/keys/+/evaluation" { capabilities = ["read"] }
""",
    # Makes, rotates, suspends and ends keys; can use none of them on data.
    "key-officer": """
path "transit/keys"                { capabilities = ["list"] }
path "transit/keys/*"              { capabilities = ["create", "read", "update", "list"] }
path "transit/wrapping_key"        { capabilities = ["read"] }
path "devices/*"                   { capabilities = ["read", "list"] }
path "devices/devices/+"           { capabilities = ["read", "update"] }
path "devices/devices/+/provision" { capabilities = ["update"] }
path "devices/devices/+/state"     { capabilities = ["update"] }
path "devices/leases/+/revoke"     { capabilities = ["update"] }
path "patients/patients"           { capabilities = ["list"] }
path "patients/patients/+"         { capabilities = ["read"] }
path "patients/patients/+/rotate"  { capabilities = ["update"] }
path "patients/patients/+/erase"   { capabilities = ["update"] }
path "patients/patients/+/receipt" { capabilities = ["read"] }
path "bundles/keys"                { capabilities = ["list"] }
path "bundles/keys/+"              { capabilities = ["read"] }
path "bundles/keys/+/release"      { capabilities = ["update"] }
path "sys/rotate"                  { capabilities = ["update", "sudo"] }
path "sys/seal"                    { capabilities = ["update", "sudo"] }
path "sys/key-status"              { capabilities = ["read"] }
""",
    # Reads what happened; changes nothing, opens nothing.
    "auditor": """
path "sys/audit-log/*"             { capabilities = ["read"] }
path "sys/audit-hash/*"            { capabilities = ["update"] }
path "sys/policies/acl"            { capabilities = ["list"] }
path "sys/policies/acl/*"          { capabilities = ["read"] }
path "sys/mounts"                  { capabilities = ["read"] }
path "sys/key-status"              { capabilities = ["read"] }
path "transit/keys"                { capabilities = ["list"] }
path "transit/keys/+"              { capabilities = ["read"] }
path "patients/patients/+/receipt" { capabilities = ["read"] }
path "auth/token/accessors"        { capabilities = ["list", "sudo"] }
path "auth/token/lookup-accessor"  { capabilities = ["update"] }
""",
}
