"""The transit engine: keys that never leave, used on data that the KMS does not keep."""
