"""How a KMS is sealed and opened, and how its keepers get new shares."""
