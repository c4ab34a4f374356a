"""`pericard kms …`, apart from `run`: what asks a KMS over HTTP, like any other client."""
