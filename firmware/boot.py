"""Runs before main.py: completes an update that was cut short. Nothing else may happen here, or fail.

A fault in this file would make the board unreachable over its port.
"""

try:
    from pericard_node import update

    update.finish()
except Exception as error:
    print("boot:", error)
