"""The documents say what is: message tables match the .proto files, and every test that they name exists."""

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor

from pericard_protocol.proto import statistics_pb2, uplink_pb2

ROOT = Path(__file__).parents[1]
WIRE_FORMAT = (ROOT / "docs/wire-format.md").read_text()
# protobuf numbers a field's type as descriptor.proto does.
TYPES = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_UINT32: "uint32",
}


def _documented(message: str) -> list[tuple[str, ...]]:
    """(number, field, type) of each row of the table under the message's heading."""
    _, found, rest = WIRE_FORMAT.partition(f"\n#### {message}\n")
    assert found, f"docs/wire-format.md has no table for {message}"
    table = rest.split("\n#", 1)[0]
    return re.findall(r"^\| (\d+) \| (\w+) \| ([\w ]+) \|", table, re.MULTILINE)


@pytest.mark.parametrize(
    "descriptor",
    [
        *uplink_pb2.DESCRIPTOR.message_types_by_name.values(),
        *statistics_pb2.DESCRIPTOR.message_types_by_name.values(),
    ],
    ids=lambda descriptor: descriptor.name,
)
def test_every_message_has_its_table(descriptor: object) -> None:
    expected = []
    for field in descriptor.fields:  # type: ignore[attr-defined]
        of = field.message_type or field.enum_type
        kind = of.name if of else TYPES[field.type]
        expected.append((str(field.number), field.name, f"repeated {kind}" if field.is_repeated else kind))
    assert _documented(descriptor.name) == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["docs/threat-model.md", "docs/wire-format.md", "ARCHITECTURE.md"])
def test_every_path_and_test_that_is_named_exists(name: str) -> None:
    text = (ROOT / name).read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert named
    for path, test in named:
        assert (ROOT / path).is_file(), path
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(), f"{path}::{test}"
