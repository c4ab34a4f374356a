"""Runs before main.py. Nothing here may fail, or the board could not be reached over its port any more."""

import gc

gc.collect()
