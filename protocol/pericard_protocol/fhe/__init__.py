"""Hospital and cloud: parameters and shapes of FHE objects, and their custody (docs/wire-format.md, 4)."""
