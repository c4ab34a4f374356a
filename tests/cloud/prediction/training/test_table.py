"""A CSV file is a table, or a sentence that names row and column."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_cloud.prediction.training.errors import BadData
from pericard_cloud.prediction.training.table import read_csv


def read(folder: Path, text: str | bytes, target: str | None = None, **options: bool):  # type: ignore[no-untyped-def]
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_csv(path, target, **options)


def test_the_last_column_is_the_target(tmp_path: Path) -> None:
    table = read(tmp_path, "\ufeffage,pulse,ill\n1,2.5,yes\n3,-4e1,no\n\n")
    assert table.names == ("age", "pulse")
    assert table.values.tolist() == [[1.0, 2.5], [3.0, -40.0]]
    assert (table.target, table.target_name) == (("yes", "no"), "ill")


def test_any_column_can_be_the_target(tmp_path: Path) -> None:
    table = read(tmp_path, 'ill,"a, b"\n1,2\n0,3\n', "ill")
    assert table.names == ("a, b",)
    assert table.classes == ("0", "1")


def test_a_table_may_have_no_target(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n1,2\n", need_target=False)
    assert table.target is None
    assert table.names == ("a", "b")


@pytest.mark.parametrize(
    ("column", "task"),
    [
        (["yes", "no"] * 2, "binary"),
        (["0", "1"], "binary"),
        (["0.5", "1.5"], "binary"),
        (["0", "1", "2"], "multiclass"),
        ([str(one) for one in range(20)], "multiclass"),
        ([str(one) for one in range(21)], "regression"),
        (["0.5", "1.5", "2"], "regression"),
        (["a", "b", "c"], "multiclass"),
    ],
)
def test_what_a_target_is(tmp_path: Path, column: list[str], task: str) -> None:
    table = read(tmp_path, "a,b\n" + "".join(f"1,{one}\n" for one in column))
    assert table.task == task


def test_classes_that_are_numbers_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n1,10\n1,9\n1,9\n")
    assert table.classes == ("9", "10")
    assert table.labels(table.classes).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        ("a,b\n", "no row"),
        ("a,a\n1,2\n", "column 2: the name 'a' comes twice"),
        ("a,\n1,2\n", "column 2: its name"),
        ("1,2\n3,4\n", "must name the columns"),
        ("a,b,c\n1,2,0\n1,x,0\n", "row 2, column 'b': 'x' is no number"),
        ("a,b,c\n1,2,0\n1,,0\n", "row 2, column 'b': the value is missing"),
        ("a,b,c\n1,nan,0\n", "row 1, column 'b': 'nan' is no finite number"),
        ("a,b,c\n1,1e999,0\n", "row 1, column 'b': '1e999' is no finite number"),
        ("a,b,c\n1,2,0\n1,2\n", "row 2 has 2 values"),
        ("a,b,c\n1,2,0,9\n", "row 1 has 4 values"),
        ("a,b,c\n1,2,\n", "row 1, column 'c': a target"),
        ("a,b\n1," + "y" * 65 + "\n", "row 1, column 'b': a target"),
        ("a,b\n1,\x1b[31m\n", "row 1, column 'b': a target"),
        ("b\n1\n", "no column beside the target"),
        (",".join(f"c{one}" for one in range(2050)) + "\n1\n", "2049 features"),
        ('a,b\n1,"2\n', "no CSV file"),
        ("a,b\n" + "1" * 200_000 + ",2\n", "no CSV file"),
        (b"a,b\n1,\xff\n", "not UTF-8"),
        (b"\x80\x04\x95", "not UTF-8"),
    ],
)
def test_what_is_no_table_is_told_with_its_place(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(BadData) as refused:
        read(tmp_path, text)
    assert told in str(refused.value)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


def test_a_target_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no column 'ill'; there are a, b"):
        read(tmp_path, "a,b\n1,2\n", "ill")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="cannot be read"):
        read_csv(tmp_path / "none.csv", None)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_bad_data(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    try:
        table = read(tmp_path_factory.getbasetemp(), content)
    except BadData:
        return
    assert table.values.shape == (len(table.target), len(table.names))
