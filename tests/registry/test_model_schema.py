"""What a consumer of the serving version reads or sends may not disappear; the rest may change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import PackageInvalid
from registry.model_schema import FieldSchema, ModelSchema, broken_promises, parse_schema

TEXT = FieldSchema(type="string", max_length=100)
NUMBER = FieldSchema(type="number", minimum=0, maximum=10)
SERVING = ModelSchema(
    inputs={"text": TEXT, "amount": NUMBER},
    outputs={"reply": FieldSchema(type="string"), "kind": FieldSchema(type="string")},
    labels=("late", "lost"),
)


def test_the_same_schema_breaks_nothing() -> None:
    assert broken_promises(SERVING, SERVING) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ("late", "lost", "broken")},
        {"outputs": {**SERVING.outputs, "score": FieldSchema(type="number")}},
        {"inputs": {**SERVING.inputs, "note": FieldSchema(type="string", required=False)}},
        {"inputs": {**SERVING.inputs, "text": FieldSchema(type="string", max_length=200, required=False)}},
        {"inputs": {**SERVING.inputs, "amount": FieldSchema(type="number")}},
    ],
)
def test_what_is_added_or_widened_breaks_nobody(changes: dict[str, object]) -> None:
    assert broken_promises(SERVING, SERVING.model_copy(update=changes)) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": ("late",)}, "label 'lost' is gone"),
        ({"outputs": {"kind": SERVING.outputs["kind"]}}, "output 'reply' is gone"),
        ({"outputs": {**SERVING.outputs, "reply": FieldSchema(type="number")}}, "was string and is number"),
        ({"outputs": {**SERVING.outputs, "reply": FieldSchema(type="string", required=False)}},
         "was always there"),
        ({"inputs": {"text": TEXT}}, "input 'amount' is gone"),
        ({"inputs": {**SERVING.inputs, "day": TEXT}}, "input 'day' is new and required"),
        ({"inputs": {**SERVING.inputs, "text": NUMBER}}, "input 'text' was string and is number"),
        ({"inputs": {**SERVING.inputs, "text": FieldSchema(type="string", max_length=50)}},
         "max_length fell from 100 to 50"),
        ({"inputs": {**SERVING.inputs, "amount": FieldSchema(type="number", minimum=1, maximum=10)}},
         "minimum rose from 0.0 to 1.0"),
        ({"inputs": {**SERVING.inputs, "text": FieldSchema(type="string", max_length=100, values=("a",))}},
         "now a closed list"),
    ],
)  # fmt: skip
def test_what_disappears_or_narrows_is_named(changes: dict[str, object], said: str) -> None:
    broken = broken_promises(SERVING, SERVING.model_copy(update=changes))
    assert len(broken) == 1
    assert said in broken[0]


@given(st.sets(st.sampled_from("abcdef"), min_size=1), st.sets(st.sampled_from("abcdef"), min_size=1))
def test_labels_may_follow_each_other_only_as_a_superset(before: set[str], after: set[str]) -> None:
    old, new = (SERVING.model_copy(update={"labels": tuple(sorted(found))}) for found in (before, after))
    assert (broken_promises(old, new) == ()) == (before <= after)


def test_a_schema_comes_back_from_json_and_a_broken_one_is_refused() -> None:
    assert parse_schema(SERVING.model_dump(mode="json"), "package") == SERVING
    with pytest.raises(PackageInvalid, match="model schema: labels"):
        parse_schema({"inputs": {}, "outputs": {}}, "package")
