"""Manifests. Invariant: text is a manifest that says what it said, or BadManifest."""

import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parts import prediction as spec

from pericard_protocol.prediction.errors import BadManifest
from pericard_protocol.prediction.manifest import Manifest


def _text(values: dict[str, Any]) -> str:
    """JSON with the digest that such values have, by a canonical form that needs no number format."""
    return json.dumps({**values, "digest": "0" * 64})


@pytest.mark.parametrize("one", [spec.manifest(), spec.three_classes(), spec.linear()])
def test_a_manifest_comes_back(one: Manifest) -> None:
    assert Manifest.from_json(one.to_json()) == one
    assert Manifest.from_json(one.to_json().encode()).digest == one.digest


def test_the_digest_is_that_of_canonical_json() -> None:
    """RFC 8785 writes whole numbers without a fraction: here are values that Python writes alike."""
    values = spec.fields(scale=100, offset=[0.25], features=[spec.feature(edges=[1.5, 2.5, 4])])
    for one in values["features"]:
        assert all(value != int(value) or isinstance(value, int) for value in one["edges"])
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    found = spec.manifest(**values)
    assert found.digest == hashlib.sha256(canonical.encode()).hexdigest()


def test_a_changed_manifest_is_refused() -> None:
    values = json.loads(spec.manifest().to_json())
    values["scale"] = 101.0
    with pytest.raises(BadManifest, match="changed"):
        Manifest.from_json(json.dumps(values))
    for text in ("", "[]", "{}", "nonsense", "[" * 100_000, " " * (1 << 20 | 1)):
        with pytest.raises(BadManifest):
            Manifest.from_json(text)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": "../etc"}, "name"),
    ({"name": ""}, "name"),
    ({"parameters": "s2"}, "parameter set"),
    ({"kind": "forest"}, "kind"),
    ({"features": []}, "features"),
    ({"features": [spec.feature(), spec.feature()]}, "twice"),
    ({"features": [spec.feature("a\nb")]}, "name"),
    ({"features": [spec.feature(edges=[2, 1])]}, "rise"),
    ({"features": [spec.feature(edges=[1, 1])]}, "rise"),
    ({"features": [spec.feature(edges=[])]}, "edges"),
    ({"features": [spec.feature(edges=[1, 2, 3, 4])]}, "too many edges"),
    ({"features": [{**spec.feature(), "mean": 10}]}, "mean"),
    ({"features": [{**spec.feature(), "edges": [math.inf]}]}, "finite"),
    ({"features": [{**spec.feature(), "more": 1}]}, "more"),
    ({"features": [spec.feature(f"f{i}") for i in range(400)]}, "do not fit"),
    ({"edges_per_feature": 64}, "edges_per_feature"),
    ({"input_slots": 1000}, "power of two"),
    ({"input_slots": 128}, "input_slots"),
    ({"input_slots": 4096}, "input_slots"),
    ({"plan": []}, "plan"),
    ({"plan": [3]}, "power of two"),
    ({"plan": [2048]}, "more diagonals"),
    ({"plan": [1] * 65}, "plan"),
    ({"giant": 8}, "giant"),
    ({"blocks": [[[0, 9]]]}, "outside"),
    ({"blocks": [[[-1, 8]]]}, "outside"),
    ({"blocks": [[[4, 4]]]}, "outside"),
    ({"blocks": [[[0, 3]]]}, "room"),
    ({"blocks": [[[0, 5], [4, 8]]]}, "overlap"),
    ({"blocks": []}, "block"),
    ({"trees": [0]}, "trees"),
    ({"trees": []}, "block"),
    ({"trees": [1001]}, "trees"),
    ({"columns": 3}, "power of two"),
    ({"columns": 128}, "columns"),
    ({"classes": ["one"]}, "classes"),
    ({"classes": ["one", "one"]}, "twice"),
    ({"classes": ["a", "b", "c"]}, "classes"),
    ({"scale": 0}, "scale"),
    ({"scale": math.nan}, "scale"),
    ({"offset": [0, 0]}, "offset"),
    ({"offset": [math.inf]}, "offset"),
    ({"link": "softmax"}, "link"),
    ({"format": "pericard-model/2"}, "format"),
    ({"weights": [1]}, "weights"),
    ({"kind": "linear"}, "linear"),
    ({"trees": ["4"]}, "trees"),
]


@pytest.mark.parametrize(("change", "word"), BAD, ids=lambda one: str(one)[:40])
def test_each_bound_holds(change: dict[str, Any], word: str) -> None:
    with pytest.raises(BadManifest, match=word):
        Manifest.from_json(_text(spec.fields(**change)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(sorted(spec.fields())), _JSON)
def test_any_value_in_any_place_is_a_manifest_or_refused(field: str, value: object) -> None:
    changed = {**spec.fields(), field: value}
    with pytest.raises(BadManifest):
        Manifest.from_json(_text(changed))  # a digest of zeros is nobody's


def test_what_follows_from_a_manifest() -> None:
    small, three, linear = spec.manifest(), spec.three_classes(parameters="s3"), spec.linear()
    assert (small.copies, small.steps, small.places, small.inputs, small.outputs) == (2, (2, 32), 8, 6, 1)
    assert (three.copies, three.steps, three.places, three.outputs) == (4, (4, 64), 12, 3)
    assert linear.steps == ()
    assert [one.reply_ciphertexts(0) for one in (small, three, linear)] == [1, 2, 1]
    assert [one.reply_ciphertexts(1) for one in (small, three, linear)] == [16, 20, 1]
