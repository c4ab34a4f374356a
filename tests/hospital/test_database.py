"""The database over releases: what an older server wrote is opened by this one with every row."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from tests.parts.hospital import Hospital

VECTORS = Path(__file__).parents[1] / "vectors" / "hospital-database"
# Where the rows of each table of the older server are now.
TABLES = {
    "enrolment_invited": "fleet_invited",
    "records_gateway": "fleet_gateway",
    "records_assignment": "fleet_assignment",
    "records_access": "records_access",
    "records_datakey": "records_datakey",
    "records_patient": "records_patient",
    "records_reading": "records_reading",
    "records_refusal": "records_refusal",
}

# Prints what is given of the patient, without and with what is in quarantine.
OPEN = """
import json, pathlib, sys
from pericard_server.site import open_site
records = open_site(pathlib.Path(sys.argv[1])).records()
def given(quarantined):
    opened = records.vitals("patient-a", "tester", "test", quarantined=quarantined)
    return [row.payload.decode() for row in opened]
print(json.dumps([given(False), given(True)]))
"""


def rows(database: sqlite3.Connection, table: str, columns: str) -> list[tuple[Any, ...]]:
    return sorted(database.execute(f"SELECT {columns} FROM {table}").fetchall(), key=repr)  # noqa: S608


def schema(database: sqlite3.Connection, table: str) -> dict[str, tuple[Any, ...]]:
    """Of each column: type, whether it may be null, and its place in the primary key."""
    return {
        name: (kind, required, key)
        for _, name, kind, required, _, key in database.execute(f"PRAGMA table_info({table})")
    }


def unique(database: sqlite3.Connection, table: str) -> list[list[str]]:
    """The columns of each unique index."""
    indexes = database.execute(f"PRAGMA index_list({table})").fetchall()
    return sorted(
        [column for _, _, column in database.execute(f"PRAGMA index_info({name})")]
        for _, name, is_unique, *_ in indexes
        if is_unique
    )


def older(path: Path, vector: str) -> None:
    """Puts the database of an older server in the place of this one's."""
    for file in path.parent.glob("records.db*"):
        file.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.executescript((VECTORS / vector).read_text())


@pytest.mark.slow
def test_a_database_of_before_the_rooms_keeps_every_row(hospital: Hospital) -> None:
    path = hospital.folder / "records.db"
    with closing(sqlite3.connect(path)) as new:
        expected = {table: (schema(new, table), unique(new, table)) for table in TABLES.values()}
    older(path, "1043fd8.sql")
    with closing(sqlite3.connect(path)) as old:
        columns = {table: ", ".join(schema(old, table)) for table in TABLES}
        before = {table: rows(old, table, columns[table]) for table in TABLES}
    assert all(before.values()), "the vector has an empty table: it would prove nothing"
    refused = hospital.command("status", check=False)
    assert refused.returncode == 1
    assert "run `pericard server init" in refused.stderr

    hospital.command("init")
    hospital.command("init")  # changes nothing any more

    with closing(sqlite3.connect(path)) as new:
        assert {old: rows(new, now, columns[old]) for old, now in TABLES.items()} == before
        assert {table: (schema(new, table), unique(new, table)) for table in TABLES.values()} == expected
        assert new.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = {name for (name,) in new.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        assert not {old for old, now in TABLES.items() if old != now} & tables
    status = json.loads(hospital.command("status", "--json").stdout)
    assert (status["stored"], status["refused"]) == (3, {"record": 3})
    gateways = json.loads(hospital.command("gateway", "list", "--json").stdout)
    assert [(one["gateway"], one["revoked_at"] is not None) for one in gateways] == [
        ("ward-1", False),
        ("ward-2", True),
    ]
    patients = json.loads(hospital.command("patient", "list", "--json").stdout)
    assert patients == [
        {"patient": "patient-a", "devices": [2], "readings": 2},
        {"patient": "patient-b", "devices": [1], "readings": 0},
    ]
    devices = json.loads(hospital.command("device", "list", "--json").stdout)
    assert devices == [{"device": 1, "patient": "patient-b"}, {"device": 2, "patient": "patient-a"}]


@pytest.mark.slow
def test_a_database_of_before_the_time_of_arrival_opens_with_every_row(hospital: Hospital) -> None:
    """Its rows bind no time of arrival; what was held back is, and what was released stays so."""
    path = hospital.folder / "records.db"
    older(path, "25b4f95.sql")
    (hospital.folder / "keys" / "wrapping.key").write_bytes(bytes(range(32)))
    assert hospital.command("status", check=False).returncode == 1
    hospital.command("init")
    (loss,) = json.loads(hospital.command("quarantine", "list", "--json").stdout)
    assert (loss["device"], loss["held"], loss["released_by"]) == (7, 1, "operator")
    assert json.loads(hospital.command("status", "--json").stdout)["stored"] == 9
    # The command starts Django for itself; rows are opened in a process of their own, too.
    opened = subprocess.run(
        [sys.executable, "-c", OPEN, str(hospital.folder / "server.toml")],
        capture_output=True,
        text=True,
        check=True,
    )
    given, all_given = json.loads(opened.stdout)
    seconds = [8, 9, 12, 13, 14, 16, 17, 24, 25]
    assert all_given == [f"reading {second}" for second in seconds]
    assert given == [f"reading {second}" for second in seconds if second != 14]


@pytest.mark.django_db
def test_every_change_of_a_model_has_its_migration() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=3)  # exits when one is missing


@pytest.mark.parametrize("words", [["patient", "add", "patient-b"], ["analyse", "--patient", "patient-a"]])
def test_on_a_full_disk_a_command_says_so(hospital: Hospital, words: list[str]) -> None:
    """A limit on the size of files refuses SQLite's writes as a full disk does."""
    hospital.command("patient", "add", "patient-a")
    done = subprocess.run(
        [sys.executable, "-c", FULL, *words, "--config", str(hospital.config)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the database cannot be used now (")
    assert "see whether its disk is full" in done.stderr
    assert "Traceback" not in done.stderr


FULL = """
import resource
from pericard_edge.command import run_alone
from pericard_server.cli import server
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
run_alone(server, "server")
"""
