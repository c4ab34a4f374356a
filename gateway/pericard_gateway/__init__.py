"""The ward's gateway: opens device frames and re-seals them for the hospital."""
