"""Tables of features. Invariant: bytes are rows of finite numbers, or BadFeatures that says where."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parts import prediction as spec

from pericard_client import features
from pericard_client.errors import BadFeatures

MANIFEST = spec.manifest()  # age and pulse, 0 to 9
GOOD = [[1.0, 2.0], [3.5, 4.0]]


@pytest.mark.parametrize(
    "text",
    [
        "age,pulse\n1,2\n3.5,4e0\n",
        "\ufeffpulse, age\r\n2,1\r\n\r\n4,3.5\r\n",
        '"age","pulse"\n"1","2"\n3.5,4',
        json.dumps([{"age": 1, "pulse": 2}, {"pulse": 4, "age": 3.5}]),
    ],
)
def test_rows_come_in_the_manifests_order(text: str) -> None:
    assert features.parse(text.encode(), MANIFEST).tolist() == GOOD


def test_one_json_object_is_one_row() -> None:
    assert features.parse(b' {"age": 1, "pulse": 2}', MANIFEST).tolist() == GOOD[:1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no row"),
        ("age,pulse\n", "no row"),
        ("[]", "no row"),
        ("age\n1\n", "row 1 (line 2): column 'pulse' is missing"),
        ("a,b\n1,2\n", "column 'age' is missing (and 1 more)"),
        ("age,pulse,target\n1,2,0\n", "no feature 'target': leave it out with --ignore"),
        ("age,age\n1,2\n", "'age' comes twice"),
        ("age,pulse\n1,2\n1\n", "line 3 has 1 values for 2 columns"),
        ("age,pulse\n1,2\n\n1,x\n", "row 2 (line 4), column 'pulse': 'x' is no number"),
        ("age,pulse\n1,\n", "row 1 (line 2), column 'pulse': the value is missing"),
        ("age,pulse\nnan,1\n", "row 1 (line 2), column 'age': the value is no finite number"),
        ("age,pulse\ninf,1\n", "no finite number"),
        ("age,pulse\n1,2\n1,19\n", "row 2 (line 3), column 'pulse': 19 is far from what the model knows"),
        ("age,pulse\n-9.1,2\n", "column 'age': -9.1 is far"),
        ('age,pulse\n"1,2\n', "is no CSV"),
        ("[1]", "row 1 is no JSON object"),
        ("[{]", "no JSON: line 1"),
        ('[{"age": 1, "pulse": null}]', "row 1, column 'pulse': the value is no number"),
        ('[{"age": true, "pulse": 1}]', "row 1, column 'age': the value is no number"),
        ('[{"age": NaN, "pulse": 1}]', "no finite number"),
        ('[{"age": 1' + "0" * 400 + ', "pulse": 1}]', "no finite number"),
        ("[" * 100_000, "no JSON"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(BadFeatures) as caught:
        features.parse(text.encode(), MANIFEST)
    assert said in str(caught.value)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(BadFeatures, match="UTF-8"):
        features.parse(b"age,pulse\n\xff,1\n", MANIFEST)
    with pytest.raises(BadFeatures, match="split"):
        features.parse(bytes((16 << 20) + 1), MANIFEST)


def test_a_column_can_be_left_out_and_any_value_taken() -> None:
    table = b"age,target,pulse\n1,yes,2\n"
    assert features.parse(table, MANIFEST, ignore=["target"]).tolist() == GOOD[:1]
    assert features.parse(b"age,pulse\n1,1e6\n", MANIFEST, any_value=True).tolist() == [[1.0, 1e6]]


@given(
    st.binary(max_size=60) | st.text(alphabet='age,pulse\n0123456789."[]{}:-', max_size=60).map(str.encode)
)
def test_any_bytes_are_rows_or_refused(data: bytes) -> None:
    try:
        rows = features.parse(data, MANIFEST)
    except BadFeatures:
        return
    assert rows.shape[1] == 2
    assert np.isfinite(rows).all()
