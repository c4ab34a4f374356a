"""The layout holds: one idea a module, and each distribution in its own room."""

import tomllib
from itertools import chain

from tests.parts.documents import ROOT

LONGEST = 400  # lines; a module that needs more says why in a decision (docs/adr)
LONGER: dict[str, int] = {}
FOLDERS = ("protocol", "gateway", "server/hospital", "server/kms", "cloud", "tools")


def test_no_module_is_longer_than_one_reads_at_once() -> None:
    sources = chain.from_iterable((ROOT / folder).rglob("*.py") for folder in (*FOLDERS, "firmware"))
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in sources
        if not path.name.endswith(("_pb2.py", "_pb2_grpc.py"))
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
