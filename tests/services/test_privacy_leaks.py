"""An answer may bring no personal data that the request, or a text that the team stands for, did not hold."""

import pytest

from services.privacy.leaks import new_personal_data
from tests.services.privacy_help import PERSONAL, sealed, the_detector


@pytest.mark.parametrize(("kind", "text"), PERSONAL.items())
def test_personal_data_that_a_model_invents_is_named_by_kind(kind: str, text: str) -> None:
    envelope, _ = sealed(text="please help")
    assert new_personal_data({"reply": f"Use {text}."}, envelope, the_detector()) == [kind]


def test_placeholders_and_harmless_numbers_are_no_personal_data() -> None:
    envelope, _ = sealed(text=f"card {PERSONAL['card']}")
    output = {"reply": "Card <CARD_1> was charged £42.50 on 3 May; <CARD_9> was not.", "n": 3, "ok": True}
    assert new_personal_data(output, envelope, the_detector()) == []


def test_what_approved_texts_say_is_not_new_however_it_is_spaced_or_cased() -> None:
    envelope, _ = sealed(text="how do I reach you?")
    output = {"reply": "Write to Help@Bank.example or call +44 20 7946 0958."}
    assert new_personal_data(output, envelope, the_detector()) == ["email", "phone"]
    known = ("You reach us at help@bank.example.", "Phone: +44 20 7946 0958")
    assert new_personal_data(output, envelope, the_detector(), known) == []


def test_what_stayed_readable_in_the_request_is_not_new() -> None:
    envelope, _ = sealed(text="Calder here, Ines Calder")
    assert new_personal_data({"reply": "Hello, this is Ines Calder"}, envelope, the_detector()) == []


def test_every_string_is_looked_at_keys_and_nested_ones_too() -> None:
    envelope, _ = sealed(text="hi")
    output = {PERSONAL["iban"]: {"list": ["fine", [PERSONAL["email"]]]}, "n": None}
    assert new_personal_data(output, envelope, the_detector()) == ["email", "iban"]


def test_the_answer_holds_kinds_only_and_never_what_was_found() -> None:
    envelope, _ = sealed(text="hi")
    found = new_personal_data({"reply": PERSONAL["card"] * 2 + PERSONAL["email"]}, envelope, the_detector())
    assert not any(char.isdigit() for kind in found for char in kind)
