"""The gateways: who may enrol, by which invitation, and which certificate they get."""
