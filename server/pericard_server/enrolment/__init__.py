"""The enrolment app: invitations for gateways, and their certificates."""
