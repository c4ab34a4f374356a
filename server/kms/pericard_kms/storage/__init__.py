"""What lies on a disk: the database and its journal, the barrier, the sealed store, the audit log."""
