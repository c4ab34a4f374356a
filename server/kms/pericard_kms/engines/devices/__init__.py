"""The devices engine: device keys and their life, and the leases under which gateways hold them."""
