"""Where the gateway's secrets come from: files of its own, or the KMS."""
