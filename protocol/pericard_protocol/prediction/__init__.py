"""What crosses the boundary of encrypted prediction: packed objects, a model's manifest, the slots' geometry.

Functions on bytes and numpy arrays; no homomorphic library is imported. docs/wire-format.md has every byte.
"""
