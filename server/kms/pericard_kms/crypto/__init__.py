"""Key types and what they do with bytes, Shamir's shares, Merkle trees, checkpoints; no store, no network."""
