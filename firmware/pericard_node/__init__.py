"""The Pericard node: reads a sensor, seals what it reads, sends it to the gateway."""
