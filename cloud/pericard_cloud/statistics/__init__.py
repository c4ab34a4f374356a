"""Blind statistics: sums over ciphertexts that the cloud cannot read."""
