"""Build hook: compiles the .proto files beside this into Python modules.

The generated modules are never committed; an editable install makes them too.
"""

from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent


class GenerateMessages(BuildHookInterface):  # type: ignore[type-arg]
    """Runs protoc over every message file of the protocol."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Writes the _pb2 and _pb2_grpc modules next to their .proto files."""
        sources = sorted(str(path) for path in HERE.glob("pericard_protocol/proto/*.proto"))
        out = [f"--{kind}_out={HERE}" for kind in ("python", "pyi", "grpc_python")]
        if not sources or protoc.main(["protoc", f"-I{HERE}", *out, *sources]) != 0:
            raise RuntimeError(f"protoc failed on {sources or 'an empty list of .proto files'}")
