"""Sealing: what an envelope holds of a call, and that the way back is exact."""

import json
import re

import pytest
from hypothesis import example, given, settings

from services.errors import InputError
from services.privacy.envelope import redact_text, seal
from services.privacy.hashing import canonical_json, keyed_hash
from services.privacy.placeholders import PLACEHOLDER
from services.privacy.reidentify import reidentify
from services.values import Context
from tests.fakes import HASH_KEY, call_of
from tests.services.privacy_help import PERSONAL, TEXTS, sealed, the_detector, two_fields

CARD = PERSONAL["card"]


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_reidentifying_a_redacted_text_gives_the_text_back(text: str) -> None:
    envelope, vault = sealed(text=text)
    assert reidentify(envelope.fields["text"], vault, envelope) == text


@given(TEXTS, TEXTS)
@settings(max_examples=150, deadline=None)
def test_nothing_but_the_placeholders_of_this_request_is_ever_reidentified(text: str, reply: str) -> None:
    envelope, vault = sealed(text=text)
    expected = PLACEHOLDER.split(reply)
    came_back = reidentify(reply, vault, envelope)
    if not envelope.placeholders & set(PLACEHOLDER.findall(reply)):
        assert came_back == reply
    for kept in expected:
        assert kept in came_back


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_a_placeholder_that_the_user_typed_is_never_one_of_ours(text: str) -> None:
    envelope, _ = sealed(text=text)
    assert not envelope.placeholders & set(PLACEHOLDER.findall(text))


@given(TEXTS)
@example("4111 1111 1111 1111sk-proj-abcdefghijklmnopqrstuvwx:sk-proj-abcdefghijklmnopqrstuvwx")
@settings(max_examples=150, deadline=None)
def test_what_was_found_once_is_nowhere_in_the_redacted_text(text: str) -> None:
    envelope, _ = sealed(text=text)
    left = PLACEHOLDER.sub("\n", str(envelope.fields["text"]))
    for span in the_detector().scan(text):
        original = text[span.start : span.end]
        if len(original) >= 4:
            assert not re.search(rf"(?<![^\W_]){re.escape(original)}(?![^\W_])", left)


def test_a_name_is_replaced_wherever_it_stands_again_but_not_inside_a_word() -> None:
    envelope, _ = sealed(text="My name is Anna. Anna is 3, Annabel 4.", note="write to Anna")
    assert envelope.fields == {
        "text": "My name is <NAME_1>. <NAME_1> is 3, Annabel 4.",
        "note": "write to <NAME_1>",
    }


@pytest.mark.parametrize(
    "typed", ["<CARD_1>", "<card_1>", "< CARD_1 >", "＜CARD_1＞", "<CARD_\u200b1>", "<CARD_01>", "<CARD_１>"]
)
def test_a_typed_placeholder_pushes_ours_to_another_number(typed: str) -> None:
    envelope, vault = sealed(text=f"{typed} and {CARD}")
    assert envelope.fields["text"] == f"{typed} and <CARD_2>"
    assert reidentify("<CARD_1> is not <CARD_2>", vault, envelope) == f"<CARD_1> is not {CARD}"


def test_a_placeholder_typed_in_one_field_counts_for_all() -> None:
    envelope, _ = sealed(text=CARD, note="what is <CARD_1>?")
    assert envelope.fields == {"text": "<CARD_2>", "note": "what is <CARD_1>?"}


def test_a_placeholder_that_the_model_made_up_stays_as_it_is() -> None:
    envelope, vault = sealed(text=CARD)
    assert reidentify("<CARD_7> <EMAIL_1> <CARD_1>", vault, envelope) == f"<CARD_7> <EMAIL_1> {CARD}"


def test_an_original_that_looks_like_a_placeholder_is_not_replaced_again() -> None:
    envelope, vault = sealed(text="my password is <IP_1>x! and my address is 203.0.113.77")
    assert reidentify(envelope.fields["text"], vault, envelope).endswith(
        "<IP_1>x! and my address is 203.0.113.77"
    )


def test_the_same_original_has_the_same_placeholder_in_all_fields() -> None:
    envelope, _ = sealed(text=f"{CARD}, again {CARD}, mail a@b.example", note=f"{CARD} and c@d.example")
    assert envelope.fields == {
        "text": "<CARD_1>, again <CARD_1>, mail <EMAIL_1>",
        "note": "<CARD_1> and <EMAIL_2>",
    }
    assert envelope.placeholders == {"<CARD_1>", "<EMAIL_1>", "<EMAIL_2>"}


def test_tags_name_the_fields_that_are_there_and_what_was_found() -> None:
    envelope, _ = sealed(text=f"card {CARD}", amount=3.0)
    assert envelope.tags == {"user_content", "pii", "pii_card"}


def test_a_credential_is_tagged_secret_and_not_as_personal_data() -> None:
    envelope, _ = sealed(text=PERSONAL["secret"])
    assert envelope.tags == {"user_content", "secret"}
    assert envelope.fields["text"] == "<SECRET_1>"


def test_numbers_booleans_and_timestamps_pass_as_they_are() -> None:
    fields = {"amount": 4111.5, "urgent": True, "at": "2026-11-22T10:00:00+00:00"}
    envelope, _ = sealed(**fields)
    assert envelope.fields == fields


@pytest.mark.parametrize("value", [4111111111111111, 4111111111111111.0, -4111111111111111])
def test_a_number_that_is_a_card_is_refused_with_its_field_and_the_remedy(value: float) -> None:
    """A placeholder cannot stand in a number; tagged `identifier`, it is a keyed hash."""
    with pytest.raises(InputError, match=r"tag it 'identifier' in usecase.yaml") as caught:
        sealed(amount=value)
    assert caught.value.field == "input.amount"
    assert "4111" not in caught.value.message
    envelope, _ = sealed(device=4111111111111111)
    assert str(envelope.fields["device"]).startswith("id_")


@pytest.mark.parametrize("value", [1_763_800_000_000, 1_234_567_890, 99_999_999.99, float("1e300"), 0, -5])
def test_other_numbers_and_times_in_milliseconds_pass(value: float) -> None:
    assert sealed(amount=value)[0].fields == {"amount": value}


def test_a_timestamp_field_that_holds_no_timestamp_is_redacted_like_any_text() -> None:
    envelope, _ = sealed(at=CARD)
    assert envelope.fields["at"] == "<CARD_1>"


def test_an_absent_optional_value_stays_absent_and_brings_no_tag() -> None:
    envelope, _ = sealed(text=None, amount=1)
    assert envelope.fields == {"text": None, "amount": 1}
    assert envelope.tags == frozenset()


def test_identifiers_become_keyed_hashes_that_join_within_a_tenant_only() -> None:
    ours, vault = sealed(customer="C-1", device=7)
    again, _ = sealed(customer="C-1", device=8)
    theirs, _ = sealed(tenant="other", customer="C-1", device=7)
    assert re.fullmatch(r"id_[0-9a-f]{32}", str(ours.fields["customer"]))
    assert ours.fields["customer"] == again.fields["customer"] != theirs.fields["customer"]
    assert ours.fields["device"] != again.fields["device"]
    assert "C-1" not in json.dumps(dict(ours.fields))
    assert reidentify(ours.fields["customer"], vault, ours) == ours.fields["customer"]


def test_subject_and_session_become_keyed_hashes_of_different_kinds() -> None:
    envelope, _ = sealed(Context(subject="ines", session="ines"), text="hi")
    assert re.fullmatch(r"sub_[0-9a-f]{32}", envelope.subject or "")
    assert re.fullmatch(r"ses_[0-9a-f]{32}", envelope.session or "")
    assert (envelope.subject or "")[4:] != (envelope.session or "")[4:]


def test_another_key_gives_another_hash() -> None:
    assert keyed_hash(HASH_KEY, "id", "acme", "x") != keyed_hash(b"k" * 32, "id", "acme", "x")


def test_tenant_and_value_cannot_be_shifted_into_each_other() -> None:
    assert keyed_hash(HASH_KEY, "id", "a", "bc") != keyed_hash(HASH_KEY, "id", "ab", "c")


def test_a_short_hash_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes, got 5"):
        seal(call_of(two_fields(), text="x"), the_detector(), b"short")


def test_residency_and_purpose_are_compared_in_lower_case() -> None:
    envelope, _ = sealed(Context(residency=" EU ", purpose="Service"), text="hi")
    assert (envelope.residency, envelope.purpose) == ("eu", "service")


@pytest.mark.parametrize(
    "smuggled",
    [
        CARD,
        "e u",
        "",
        "é",
        "x" * 33,
        "<script>",
        "DE89370400440532013000",
        "ines_calder",
        "inescalder",
        "AKIAIOSFODNN7EXAMPLE",
        "d" * 32,
    ],
)
def test_residency_and_purpose_cannot_carry_text_past_redaction(smuggled: str) -> None:
    with pytest.raises(
        InputError, match=r"^context.residency: expected a country's two letters, eu"
    ) as caught:
        sealed(Context(residency=smuggled), text="hi")
    assert caught.value.field == "context.residency"
    assert smuggled == "" or smuggled not in str(caught.value)
    with pytest.raises(InputError, match=r"^context.purpose: expected one of service") as caught:
        sealed(Context(purpose=smuggled), text="hi")
    assert caught.value.field == "context.purpose"
    assert smuggled == "" or smuggled not in str(caught.value)


def test_an_unknown_field_is_refused_without_naming_it() -> None:
    with pytest.raises(InputError) as caught:
        sealed(**{CARD: "x"})
    assert caught.value.field == "input"
    assert CARD not in str(caught.value)


@pytest.mark.parametrize("value", [{"a": CARD}, [CARD], object()])
def test_a_value_of_a_type_that_redaction_does_not_know_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"expected string, got (dict|list|object)") as caught:
        sealed(text=value)
    assert caught.value.field == "input.text"


def test_half_a_surrogate_pair_is_refused_since_no_sink_could_write_it() -> None:
    with pytest.raises(InputError, match="not valid Unicode"):
        sealed(text="\ud800")


def test_the_digest_depends_on_redacted_content_alone() -> None:
    one, _ = sealed(text=f"card {CARD}")
    other, _ = sealed(text="card 5555 5555 5555 4444", tenant="other")
    third, _ = sealed(text="another text")
    assert one.digest == other.digest != third.digest
    assert re.fullmatch(r"[0-9a-f]{64}", one.digest)


def test_canonical_json_is_sorted_compact_utf8_and_refuses_nan() -> None:
    assert canonical_json({"b": 1, "a": ["é", None]}) == '{"a":["é",null],"b":1}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_redact_text_leaves_no_way_back_and_keeps_what_is_harmless() -> None:
    assert redact_text(f"Order 48213, card {CARD}", the_detector()) == "Order 48213, card <CARD_1>"


def test_no_repr_of_a_call_or_context_shows_what_it_holds() -> None:
    call = call_of(two_fields(), text=CARD)
    assert CARD not in repr(call)
    assert "ines" not in repr(Context(subject="ines", session="ines"))
