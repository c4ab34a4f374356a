"""What an operator looks at: counters, pages, status, doctor, systemd."""
