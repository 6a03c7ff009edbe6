"""Input fields: checked from the use case's own specs, refused by name, never echoed."""

from typing import Any

import pytest

from feature_checks.usecase import FieldSpec
from services.api.fields import InputFields, refuse_unknown
from services.errors import InputError
from tests.fakes import support

SPECS = {
    "note": FieldSpec(type="string", min_length=2, max_length=5),
    "amount": FieldSpec(type="number", minimum=0, maximum=10),
    "count": FieldSpec(type="integer", minimum=1),
    "member": FieldSpec(type="boolean"),
    "at": FieldSpec(type="timestamp"),
    "extra": FieldSpec(type="string", required=False),
}
GOOD = {"note": "abc", "amount": 1.5, "count": 3, "member": True, "at": "2026-11-22T09:30:00Z"}


@pytest.fixture(scope="module")
def fields() -> InputFields:
    return InputFields(support().model_copy(update={"input": SPECS}))


def test_good_fields_come_back_as_they_are(fields: InputFields) -> None:
    """Nothing is converted that was right; an optional field may be absent or null."""
    assert fields.read(GOOD) == GOOD
    assert fields.read({**GOOD, "extra": None}) == GOOD
    assert fields.read({**GOOD, "count": 3.0})["count"] == 3


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("note", 5, "expected a string, got a number"),
        ("note", None, "expected a string, got null"),
        ("note", ["abc"], "expected a string, got an array"),
        ("note", "abcdef", "at most 5 characters, got 6"),
        ("note", "a", "at least 2"),
        ("note", "    ", "at least 2"),
        ("amount", "1.5", "expected a number, got a string"),
        ("amount", True, "expected a number, got a boolean"),
        ("amount", -0.1, "at least 0"),
        ("amount", 10.1, "at most 10"),
        ("amount", float("inf"), "finite"),
        ("count", 1.5, "expected a whole number"),
        ("count", True, "expected a whole number"),
        ("count", 2**63, "64 bits"),
        ("count", 0, "at least 1"),
        ("member", 1, "expected true or false"),
        ("member", "yes", "expected true or false"),
        ("at", "yesterday", "ISO 8601"),
        ("at", 1700000000, "ISO 8601"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field_and_never_echoed(
    fields: InputFields, name: str, value: Any, why: str
) -> None:
    """The message names the field and the rule."""
    with pytest.raises(InputError, match=why) as error:
        fields.read({**GOOD, name: value})
    assert error.value.field == f"input.{name}"
    assert error.value.message.startswith(f"input.{name}: ")
    assert "yesterday" not in error.value.message
    assert "abcdef" not in error.value.message


@pytest.mark.parametrize("missing", ["note", "amount", "count", "member", "at"])
def test_a_missing_field_is_named(fields: InputFields, missing: str) -> None:
    """Each required one."""
    with pytest.raises(InputError, match=f"input.{missing}: is missing"):
        fields.read({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize("given", [None, "text", 1, [], [GOOD]])
def test_input_that_is_no_object_is_refused(fields: InputFields, given: object) -> None:
    """Whatever else JSON may hold there."""
    with pytest.raises(InputError, match="expected an object"):
        fields.read(given)


def test_a_value_outside_a_closed_set_is_refused() -> None:
    """The number of allowed values is told, not all of them."""
    usecase = support()
    closed = {"intent": usecase.output["intent"]}
    with pytest.raises(InputError, match="allowed values"):
        InputFields(usecase.model_copy(update={"input": closed})).read({"intent": "something else"})


@pytest.mark.parametrize("name", ["txt", "Text", "texts", "text "])
def test_a_slip_in_typing_is_answered_with_the_name_that_was_meant(name: str) -> None:
    """The known one, not the one that was sent."""
    with pytest.raises(InputError) as error:
        refuse_unknown("input", {name: 1}, ("text", "amount"))
    assert error.value.message == "input: a field is not known (did you mean 'text'?); allowed: text, amount"


@pytest.mark.parametrize(
    "name",
    [
        "4111111111111111",
        "card_4111111111111111",
        "anna.meier@example.org",
        "sk-5f2b9c1e77aa-abcdefghijklmnop",
        "AKIAIOSFODNN7EXAMPLE",
        "hunter2hunter2",
        "a" * 17,
        "a" * 100_000,
        "inescalder",
        "swordfish",
        "is_vip",
        "x y",
        "line\nbreak",
        "",
        "ключ",
        "<script>",
    ],
)
def test_an_unknown_field_is_not_named(name: str) -> None:
    """A field's name is user input too."""
    with pytest.raises(InputError) as error:
        refuse_unknown("input", {name: 1}, ("text",))
    assert error.value.message == "input: a field is not known; allowed: text"
