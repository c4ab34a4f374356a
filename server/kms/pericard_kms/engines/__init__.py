"""What is mounted at a path: transit, devices, patients, FHE custody, bundles."""
