"""Device and gateway: frames, their stream, the ratchet, payloads, updates (docs/wire-format.md, 1)."""
