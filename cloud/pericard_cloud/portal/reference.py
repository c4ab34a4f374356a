"""An OpenAPI description as rows for a page."""

import json
from collections.abc import Mapping
from typing import Any


def operations(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each operation: its method and path, what it does, its parameters, what it takes and answers."""
    return [
        {
            "method": method.upper(),
            "path": path,
            "summary": operation.get("description") or operation.get("summary", ""),
            "parameters": [
                {"name": one["name"], "in": one["in"], "required": one.get("required", False)}
                for one in operation.get("parameters", [])
            ],
            "takes": list(operation.get("requestBody", {}).get("content", {})),
            "open": not operation.get("security"),
            "answers": [
                {"status": status, "shape": _shape(schema, answer)}
                for status, answer in operation.get("responses", {}).items()
            ],
        }
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]


def _shape(schema: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    for kind, content in answer.get("content", {}).items():
        if kind != "application/json":
            return str(kind)
        return json.dumps(_example(schema, content.get("schema", {})), indent=2)
    return ""


def _example(schema: Mapping[str, Any], shape: Mapping[str, Any]) -> Any:
    """What a value of this shape looks like: the kinds of things in the place of things."""
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        return _example(schema, schema["components"]["schemas"][name])
    if "properties" in shape:
        return {name: _example(schema, one) for name, one in shape["properties"].items()}
    if shape.get("type") == "array":
        return [_example(schema, shape.get("items", {}))]
    if "anyOf" in shape:
        return " | ".join(str(_example(schema, one)) for one in shape["anyOf"])
    if "enum" in shape:
        return " | ".join(map(str, shape["enum"]))
    return shape.get("format") or shape.get("type", "object")
