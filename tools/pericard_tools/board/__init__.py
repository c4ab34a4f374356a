"""Boards, real and virtual: emulate, flash, provision, update."""
