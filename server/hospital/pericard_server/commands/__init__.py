"""`pericard server …`, a module a group."""
