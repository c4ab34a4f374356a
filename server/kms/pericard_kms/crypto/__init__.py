"""Mathematics and primitives; no store, no network."""
