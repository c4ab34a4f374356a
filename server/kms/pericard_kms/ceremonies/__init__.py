"""How a KMS is sealed and opened, and its root key replaced."""
