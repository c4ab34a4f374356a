"""The kit's commands, a module for each group."""
