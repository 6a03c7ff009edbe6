"""Validators: the output contract for all, and for what a model wrote no new personal data or amounts."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_checks.usecase import FieldSpec
from feature_checks.verification import OPTIONS, read_verification
from services.errors import ConfigError
from services.verify import VALIDATORS, VerifyContext, make_validators, names, verify
from services.verify.allowed_amounts import amounts
from tests.fakes import FakeDetector, envelope_of, support
from tests.services.privacy_help import the_detector

USECASE = support()
GOOD = {"reply": "An answer.", "intent": "card_arrival"}


def validators(*wanted, detector=None, approved=(), output=None):
    asked = tuple(map(read_verification, wanted))
    usecase = USECASE.model_copy(update={"verify": asked, **({"output": output} if output else {})})
    return make_validators(VerifyContext(usecase, detector or FakeDetector(), approved))


def problem(made, output, own_text=False, **fields):
    return verify(made, output, envelope_of(USECASE, **fields), own_text=own_text)


def test_what_usecase_yaml_may_name_is_what_there_is_in_the_same_order():
    assert list(VALIDATORS) == list(OPTIONS)


@pytest.mark.parametrize(
    "written",
    ["4111,1111,1111,1111", "4111\n> 1111\n> 1111\n> 1111", "4\u3164".join(["", "111 1111 1111 1111"])],
)
def test_a_card_in_an_answer_is_seen_however_it_is_grouped_or_hidden(written):
    made = validators("no_new_pii", detector=the_detector())
    answer = {**GOOD, "reply": f"Your card is {written}."}
    assert problem(made, answer) == "no_new_pii: holds personal data that the request did not: card"


def test_the_output_contract_is_checked_first_and_always():
    assert [v.name for v in validators("allowed_amounts", "no_new_pii")] == [
        "output_schema", "no_new_pii", "allowed_amounts",
    ]  # fmt: skip
    assert [v.name for v in validators()] == ["output_schema"]


def test_approved_texts_are_checked_against_the_contract_only():
    made = validators("no_new_pii", detector=FakeDetector({"0800": "phone"}))
    answer = {"reply": "Call 0800.", "intent": "card_arrival"}
    assert problem(made, answer, own_text=True) is None
    assert problem(made, answer) == "no_new_pii: holds personal data that the request did not: phone"
    assert problem(made, {**answer, "intent": "made_up"}, own_text=True) is not None
    assert names(made, own_text=True) == ("output_schema",)
    assert names(made, own_text=False) == ("output_schema", "no_new_pii")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"reply": "x"}, "field 'intent' is missing"),
        ({**GOOD, "secret_key": 1}, "1 fields that are not in the output contract"),
        ({**GOOD, "reply": 5}, "field 'reply': expected string, got int"),
        ({**GOOD, "reply": None}, "field 'reply': expected string, got NoneType"),
        ({**GOOD, "reply": "x" * 2001}, "field 'reply': expected 0 to 2000 characters, got 2001"),
        ({**GOOD, "reply": "half \ud800"}, "field 'reply': is not valid Unicode"),
        ({**GOOD, "intent": "SECRET"}, "field 'intent': is not one of its 78 allowed values"),
    ],
)
def test_an_output_that_breaks_the_contract_is_refused_without_repeating_it(output, said):
    assert problem(validators(), output) == f"output_schema: {said}"
    assert "SECRET" not in said


def spec(type_, **bounds):
    return FieldSpec(type=type_, **bounds)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (
            spec("number", minimum=0, maximum=1),
            [0, 0.5, 1],
            [-0.1, 1.1, float("nan"), float("inf"), True, "0.5"],
        ),
        (spec("integer", minimum=1), [1, 10**12], [0, 1.5, 1.0, False, "1"]),
        (spec("boolean"), [True, False], [0, 1, "true", None]),
        (spec("timestamp"), ["2026-11-22T21:00:00Z", "2026-11-22"], ["yesterday", 5, ""]),
        (spec("string", min_length=2), ["ab"], ["a", b"ab", ["ab"]]),
    ],
)
def test_each_type_takes_what_it_should_and_nothing_else(field, good, bad):
    made = validators(output={"intent": spec("string"), "value": field})
    assert [v for v in good if problem(made, {"intent": "x", "value": v}) is not None] == []
    assert [v for v in bad if problem(made, {"intent": "x", "value": v}) is None] == []


def test_a_field_that_is_not_required_may_be_left_out():
    made = validators(output={"intent": spec("string"), "note": spec("string", required=False)})
    assert problem(made, {"intent": "x"}) is None


def test_personal_data_of_the_request_may_be_repeated_and_new_data_may_not():
    made = validators(
        "no_new_pii", detector=FakeDetector({"ann@example.org": "email", "bob@example.org": "email"})
    )
    answer = {"reply": "I wrote to bob@example.org", "intent": "card_arrival"}
    assert "email" in problem(made, answer, text="hello")
    assert problem(made, answer, text="please write to bob@example.org") is None
    assert "bob@" not in problem(made, answer, text="hello")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("it costs £20", ["20"]),
        ("EUR 1,000.50 or 1.000,50 €", ["1000.50"]),
        ("$1,000 and 1.000 USD", ["1000"]),
        ("1'250 CHF", ["1250"]),
        ("2.5 % and 3 per cent", ["2.5", "3"]),
        ("0.125%", ["0.125"]),
        ("50p, 3 pounds, ten dollars", ["50", "3"]),
        ("￡２０", ["20"]),
        ("3 to 5 working days, card 4, 24/7", []),
    ],
)
def test_amounts_of_money_and_percentages_are_read_by_their_value(text, values):
    assert amounts([text]) == {Decimal(value) for value in values}


def test_an_amount_must_stand_in_the_request_or_in_an_approved_text():
    made = validators("allowed_amounts", approved=("A new card costs £5.",))
    answer = {"reply": "You get £20 back; a new card is 5 GBP.", "intent": "card_arrival"}
    assert problem(made, answer, text="hello") == "allowed_amounts: names 1 amounts that were not given"
    assert problem(made, answer, text="I was charged 20.00 twice") is None
    assert problem(made, {**answer, "reply": "That takes 3 days."}, text="hello") is None


def test_numbers_in_the_files_of_facts_count_as_given_and_names_in_them_do_not(tmp_path):
    facts = '@prefix b: <https://bank.example/2024/> .\nb:card b:fee "4.50"^^<https://bank.example/7> .\n'
    (tmp_path / "facts.ttl").write_text(facts)
    asked = (read_verification({"allowed_amounts": {"facts": ["facts.ttl"]}}),)
    usecase = USECASE.model_copy(update={"verify": asked, "root": tmp_path})
    made = [VALIDATORS["allowed_amounts"](VerifyContext(usecase, FakeDetector()))]
    assert problem(made, {"reply": "A new card costs £4.50."}) is None
    for amount in ("£2024", "£7"):
        assert problem(made, {"reply": f"A new card costs {amount}."}) is not None
    usecase = usecase.model_copy(update={"root": tmp_path / "nowhere"})
    with pytest.raises(ConfigError, match=r"facts\.ttl: expected a readable text"):
        VALIDATORS["allowed_amounts"](VerifyContext(usecase, FakeDetector()))


EVERY = (
    "no_new_pii", "allowed_amounts", "no_injection",
    {"length": {"fields": {"reply": {"max_words": 80, "max_characters": 400}}}},
    {"allowed_values": {"fields": {"intent": {"file": "labels.txt"}, "reply": {"from_input": ["text"]}}}},
    {"language": {"same_as": "text"}},
)  # fmt: skip


@settings(deadline=None)  # the first example loads the model that tells languages apart
@given(st.text(), st.text())
def test_no_text_can_break_a_validator(reply, text):
    made = validators(*EVERY)
    assert len(made) == len(VALIDATORS)
    problem(made, {"reply": reply, "intent": "card_arrival"}, text=text)
