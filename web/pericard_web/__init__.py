"""What Pericard's web pages share: the portal's, and the hospital console's. It imports no domain."""
