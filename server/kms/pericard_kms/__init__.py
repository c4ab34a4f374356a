"""The key management system: a process of its own, with its own database and the Vault HTTP API.

From the inside out; a room needs only those before it:

`crypto`       primitives, Shamir's shares, Merkle trees: pure functions on bytes;
`storage`      the barrier, the store and its journal, the opened vault, the audit log;
`access`       policies and tokens: who may do what;
`engines`      what requests do: transit, devices, patients, FHE custody, bundles, and the table of mounts;
`ceremonies`   what opens and re-keys it;
`http`         a request in, a reply out: read, authenticate, decide, act, record;
`service`, `cli`, `commands`   sockets, files, clocks, the command line.

It imports nothing of the hospital's server and can be installed beside it or alone.
"""
