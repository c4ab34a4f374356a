"""The hospital's server: sealed records and validated blind statistics."""
