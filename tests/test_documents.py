"""The documents say what is: every message, command, path, test and module that they name exists."""

import ast
import re
from pathlib import Path

import click
import pytest
from google.protobuf.descriptor import FieldDescriptor
from tests.parts.documents import ROOT, commands, documents, rows, section, spans, text_of

from pericard_protocol.proto import statistics_pb2, uplink_pb2
from pericard_tools.cli import pericard

# protobuf numbers the types of fields.
TYPES = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_UINT32: "uint32",
}
DOCUMENTS = [str(path) for path in documents()]
# What a path from the root begins with; a shorter path is one beside the document that names it.
FOLDERS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")
SOURCES = [
    path
    for folder in ("protocol", "gateway", "server", "cloud", "client", "web", "tools", "firmware", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not path.name.endswith(("_pb2.py", "_pb2_grpc.py"))
]


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
        expected.append([str(field.number), field.name, f"repeated {kind}" if field.is_repeated else kind])
    described = section(text_of("docs/wire-format.md"), f"#### {descriptor.name}")  # type: ignore[attr-defined]
    assert [row[:3] for row in rows(described)] == expected


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if commands(text_of(name))])
def test_every_command_is_one_with_these_options(document: str) -> None:
    for words in commands(text_of(document)):
        command: click.Command = pericard
        for word in words:
            if not isinstance(command, click.Group) or word == "…":
                break
            if word.startswith("-"):
                continue
            next_one = command.get_command(click.Context(command), word)
            assert next_one is not None, words
            command = next_one
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, words


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_and_test_that_is_named_exists(document: str) -> None:
    for span in spans(text_of(document)):
        path, _, test = span.partition("::")
        if not re.fullmatch(r"[\w./-]+", path) or not path.startswith(FOLDERS):
            continue
        assert (ROOT / path).exists(), span
        if test:
            assert f"def {test.partition('[')[0]}(" in text_of(path), span


def test_every_file_of_where_to_make_a_change_is_named_from_the_root() -> None:
    """A short name there is a riddle, and would be read past by the check above."""
    table = rows(section(text_of("ARCHITECTURE.md"), "## Where to make a change"))
    named = [span for row in table for cell in row for span in spans(cell)]
    files = [span for span in named if re.fullmatch(r"[\w./-]+(\.\w+|/)", span)]
    assert len(files) > len(table)
    assert [file for file in files if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_within_the_project_leads_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text_of(document)):
        if "://" not in target:
            assert (ROOT / document).parent.joinpath(target).exists(), target


def test_every_decision_is_in_the_index_by_its_title() -> None:
    index = dict(re.findall(r"^\| \[(.+?)\]\(([\w-]+\.md)\)", text_of("docs/adr/README.md"), re.MULTILINE))
    titles = {
        text_of(path).splitlines()[0].removeprefix("# "): path.name
        for path in documents()
        if path.parent == Path("docs/adr") and path.name != "README.md"
    }
    assert index == titles


def _spoken(source: Path) -> str:
    """The docstrings and comments of a module."""
    text = source.read_text()
    docstrings = [
        found
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (found := ast.get_docstring(node)) is not None
    ]
    return " ".join([*docstrings, *re.findall(r"#\s(.*)", text)])


def _ends(path: Path) -> set[str]:
    """What a path may be called: whole, or without the folders it begins with."""
    return {"/".join(path.parts[start:]) for start in range(len(path.parts))}


def test_no_docstring_names_a_file_or_module_that_is_not_there() -> None:
    protos = sorted((ROOT / "protocol").rglob("*.proto"))
    paths = [path.relative_to(ROOT) for path in (*SOURCES, *protos)] + documents()
    files = set().union(*map(_ends, paths))
    # The last part of a quoted name may be a thing within the module.
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files}
    absent = []
    for source in SOURCES:
        spoken = _spoken(source)
        named = re.findall(r"(?<![\w/.*])((?:[\w-]+/)*[\w-]+\.(?:py|md|proto))\b", spoken)
        absent += [f"{source}: {name}" for name in named if name not in files]
        quoted = re.findall(r"`(pericard_\w+(?:\.\w+)+)`", spoken)
        absent += [f"{source}: {name}" for name in quoted if not {name, name.rpartition(".")[0]} & modules]
    assert not absent, "\n".join(absent)
