"""The key management system: a process of its own, with its own database and the Vault HTTP API.

From the inside out, each module needs only those before it:

`shamir`, `barrier`, `merkle`, `primitives`, `policies`, `http`   pure functions on bytes;
`store`, `seals`                         where sealed values lie, and what opens them;
`vault`                                  the opened store: values, audit log, one durable commit for both;
`tokens`, `transit`, `lifecycle`, `devices`, `leases`, `custody`, `system`   what requests do;
`api`                                    a request in, a reply out: authenticate, decide, act, record;
`service`, `cli`, `bench`                sockets, files, clocks.

It imports nothing from the rest of the hospital's server and can be installed beside it or alone.
"""
