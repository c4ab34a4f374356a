"""Who may do what: tokens, policies, roles."""
