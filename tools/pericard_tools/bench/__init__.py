"""`pericard bench …`: Pericard on this machine, beside what it is compared with."""
