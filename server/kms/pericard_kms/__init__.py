"""The key management system: a process of its own, with its own database and the Vault HTTP API.

From the inside out; a room needs only those before it (a contract in the root `pyproject.toml` holds that):

`errors`, `fields`      what can go wrong; how JSON fields are read;
`crypto`                key types and what they do, Shamir's shares, Merkle trees: pure functions on bytes;
`storage`               the database and its journal, the barrier, the sealed store, the audit log;
`access`                policies and tokens: who may do what;
`routing`               a request, its response, and the table from paths to functions;
`engines`               what is mounted: transit, devices, patients, FHE custody, bundles;
`ceremonies`            how the KMS is sealed, opened and given new key shares;
`http`                  a request in, a reply out: read, authenticate, decide, act, record;
`service`               sockets, and one disk flush for many requests;
`commands`, `cli`       the command line.

It imports nothing of the hospital's server and can be installed beside it or alone. "Vault" always means
HashiCorp's product, whose API this speaks.
"""
