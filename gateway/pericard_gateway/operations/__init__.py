"""What an operator looks at: counts, pages, status, doctor, systemd."""
