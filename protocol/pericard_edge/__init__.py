"""What every process of Pericard does at its edge: private files, log lines, readiness, confined workers.

The one place in the protocol that touches files and processes (docs/adr/0002-one-edge.md). No wire module
imports it; a contract holds that.
"""
