"""For operators and developers: the pericard command, virtual boards, flashing, the demo."""
