"""`pericard kms …`, apart from `run` and the ceremonies."""
