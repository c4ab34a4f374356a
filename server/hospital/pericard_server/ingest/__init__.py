"""Receives sealed sessions from gateways."""
