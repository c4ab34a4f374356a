"""The layout holds: one idea a module, and each distribution in its own room."""

import ast
import tomllib
from itertools import chain
from pathlib import Path

from tests.parts.documents import ROOT

LONGEST = 400  # lines; a module that needs more says why in a decision (docs/adr)
LONGER: dict[str, int] = {}
FOLDERS = ("protocol", "gateway", "server/hospital", "server/kms", "cloud", "client", "web", "tools")

# Public classes that may have one name in several modules, each with its reason.
TWICE = {"Migration": "Django finds a migration by this name"}


def _sources(*folders: str) -> list[Path]:
    """The modules in these folders, without those that protoc makes."""
    found = chain.from_iterable((ROOT / folder).rglob("*.py") for folder in folders)
    return [path for path in found if not path.name.endswith(("_pb2.py", "_pb2_grpc.py"))]


def test_no_module_is_longer_than_one_reads_at_once() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in _sources(*FOLDERS, "firmware")
    }
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == LONGER


def test_each_folder_is_a_distribution_that_packs_its_own_packages() -> None:
    found = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("*/pyproject.toml")}
    found |= {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("server/*/pyproject.toml")}
    assert found == set(FOLDERS)
    for folder in FOLDERS:
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
        packed = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
        assert packed == {path.parent.name for path in (ROOT / folder).glob("pericard_*/__init__.py")}
        assert (ROOT / folder / "README.md").is_file()


def test_a_class_has_a_name_of_its_own() -> None:
    """The firmware is left out: it runs on a board, where none of these modules is."""
    places: dict[str, list[str]] = {}
    for path in _sources(*FOLDERS):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert places
    assert {name: where for name, where in places.items() if len(where) > 1 and name not in TWICE} == {}
    assert {name for name in TWICE if len(places.get(name, [])) < 2} == set()


# What takes seconds to import, and the modules that may import it at their top: all their tests are slow, and
# where those are left out the modules are not imported.
HEAVY = {"bumble", "dask", "scipy", "skops", "sklearn", "sleepecg", "xgboost"}
HEAVY_MODULES = {"tests/cloud/prediction/training/test_importing.py"}


def test_tests_import_what_takes_seconds_only_once_they_need_it() -> None:
    """Every process of a test run imports every test module."""
    found = set()
    for path in _sources("tests"):
        for node in ast.parse(path.read_text()).body:
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if HEAVY & {name.partition(".")[0] for name in names}:
                found.add(path.relative_to(ROOT).as_posix())
    assert found == HEAVY_MODULES
