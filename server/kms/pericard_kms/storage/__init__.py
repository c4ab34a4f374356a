"""What lies on a disk: the barrier, the journal, the opened vault, the audit log."""
