"""Freezes the node into an image: `make BOARD=ESP32_GENERIC FROZEN_MANIFEST=…/manifests/node.py`."""

include("$(PORT_DIR)/boards/manifest.py")  # noqa: F821 - these are the build's own
package("pericard_node", base_path="..")  # noqa: F821
module("boot.py", base_path="..")  # noqa: F821
module("main.py", base_path="..")  # noqa: F821
