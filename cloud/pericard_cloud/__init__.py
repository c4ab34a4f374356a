"""The untrusted cloud: statistics on ciphertexts that it cannot read."""
