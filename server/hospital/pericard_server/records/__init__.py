"""The records app: what the hospital stores, sealed."""
