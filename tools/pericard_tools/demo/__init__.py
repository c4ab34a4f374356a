"""The whole pipeline on one machine: every party its own process, every step by the code that ships."""
