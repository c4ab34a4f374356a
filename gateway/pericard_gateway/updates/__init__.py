"""Signed firmware on its way to the nodes."""
