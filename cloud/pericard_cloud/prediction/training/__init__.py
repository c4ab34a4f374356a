"""How models for the portal are made: offline, from data in the clear, by whoever runs the cloud."""
