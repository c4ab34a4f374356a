"""Runs the node; a crash is written to /crash.log and the node starts again with a new boot number."""

import sys
import time

from pericard_node import app

while True:
    try:
        app.main()
        break  # not provisioned: leave the port to the operator
    except Exception as error:
        with open("/crash.log", "w") as log:
            sys.print_exception(error, log)
        time.sleep(1)
