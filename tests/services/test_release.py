"""What may go out of a text that is still being written: whole plain words, with enough seen behind them."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.privacy.detect import AHEAD, build_detector
from services.release import STEP, Release, safe_end
from services.verify import Prefix, VerifyContext, make_validators, prefixes
from services.verify.base import agrees
from tests.fakes import envelope_of, support

USECASE = support()
DETECTOR = build_detector()
PREFIXES = prefixes(make_validators(VerifyContext(USECASE, DETECTOR)), "reply")
PLAIN = "Your card is on its way and should be with you soon. "

SECRETS = st.sampled_from(
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "４１１１ １１１１ １１１１ １１１１",
        "5500\u200b0000\u200b0000\u200b0004",
        "DE89 3704 0044 0532 0130 00",
        "GB82 WEST 1234 5698 7654 32",
        "anna.schmidt@example.org",
        "anna [at] example [dot] org",
        "+44 20 7946 0958",
        "192.168.17.34",
        "2001:db8::8a2e:370:7334",
        "sk-abcdefghijklmnopqrstuvwx1234",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq+w0B\nabcdefgh1234\n-----END PRIVATE KEY-----",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    ]
)
WORDS = st.lists(
    st.sampled_from(["please", "write", "to", "us", "now.", "It's", "well-known,", "(soon)", "2", "—", "\n"]),
    max_size=60,
).map(" ".join)
CUTS = st.lists(st.integers(min_value=0, max_value=2000), max_size=40)


def feed(text: str, cuts: list[int], made: Release | None = None) -> tuple[str, list[str]]:
    """All that is released while `text` is written, and the pieces."""
    release = made or Release(PREFIXES or (), "reply", envelope_of(USECASE))
    places = sorted({place % (len(text) + 1) for place in cuts} | {len(text)})
    pieces = [release.step(text[:place]) for place in places]
    assert "".join(pieces) == release.released
    return release.released, pieces


def test_a_models_plain_text_flows() -> None:
    """Else all of this would be for nothing: what stays back is little more than what must be seen."""
    text = PLAIN * 20
    released, pieces = feed(text, list(range(0, len(text), 5)))
    assert sum(map(bool, pieces)) > 10
    assert len(text) - len(released) < 2 * AHEAD
    assert text.startswith(released)


@given(WORDS, SECRETS, WORDS, CUTS)
@settings(max_examples=300, deadline=None)
def test_of_a_planted_secret_nothing_comes_out_however_it_is_cut(before, secret, after, cuts) -> None:
    """Neither its beginning while the rest is not there, nor any of it afterwards."""
    text = f"{PLAIN * 3}{before} {secret} {after} {PLAIN * 3}"
    place = text.index(secret)
    assume(not DETECTOR.scan(text[:place]))
    found = [span for span in DETECTOR.scan(text) if span.start < place + len(secret) and span.end > place]
    assume(found)  # among some words a number is none
    released, _ = feed(text, cuts)
    assert len(released) <= min(place, found[0].start)


@given(st.text(max_size=300), CUTS)
@settings(max_examples=300, deadline=None)
def test_what_is_released_is_the_beginning_of_the_text_whatever_it_is(text, cuts) -> None:
    """In order, nothing twice, nothing left out."""
    released, _ = feed(text, cuts)
    assert text.startswith(released)


@given(WORDS, st.integers(min_value=1, max_value=30), CUTS)
@settings(max_examples=200, deadline=None)
def test_nothing_goes_out_of_a_text_that_a_validator_objects_to(text, bad_from, cuts) -> None:
    """`bad_from` words are too many: what is out then is all that ever will be."""
    text = PLAIN + text
    objects = Prefix(lambda output, _: "no" if len(str(output["reply"]).split()) > bad_from else None)
    release = Release([objects], "reply", envelope_of(USECASE))
    released, _ = feed(text, cuts, release)
    assert len(released.split()) <= bad_from


def test_a_placeholder_never_stands_at_a_border() -> None:
    """Nor a number: it may go on after a space."""
    text = "I have blocked <CARD_1> for you and ordered 3 new ones for you today. " + PLAIN * 4
    for end in range(len(text)):
        cut = safe_end(text[:end], 0, 0)
        assert not text[:cut].endswith(("<CARD_1>", "3"))
        assert not text[cut:].startswith((" <CARD_1>", " 3"))


def test_what_is_invisible_is_not_what_must_be_seen() -> None:
    """A thousand zero-width characters bring no text any nearer."""
    hidden = "Hello there, dear " + "\u200b" * 1000 + " you and"
    assert safe_end(hidden, 0, 40) == 0
    assert safe_end("Hello there, dear " + "visible " * 10, 0, 40) > 0


def test_an_answer_that_is_begun_anew_lets_nothing_out_that_differs() -> None:
    """What went out cannot be taken back; the verdict on the whole says that it does not fit."""
    release = Release([Prefix(agrees)], "reply", envelope_of(USECASE))
    assert release.step(PLAIN * 2)
    assert release.step("Something else altogether, which is at least as long as it was. " * 3) == ""
    assert release.step("Some") == ""
    assert release.step(PLAIN * 4)


def test_pieces_are_judged_rarely_however_many_they_are() -> None:
    """Judging costs a small multiple of one scan of the whole."""
    judged = []
    count = Prefix(lambda output, _: judged.append(len(str(output["reply"]))) or None)
    text = PLAIN * 400
    release = Release([count], "reply", envelope_of(USECASE))
    for end in range(0, len(text), 3):
        release.step(text[:end])
    assert len(judged) < len(text) / STEP / 2
    assert sum(judged) < 25 * len(text)


@pytest.mark.parametrize(
    ("verify", "can"),
    [
        (["output_schema", "no_new_pii", "no_injection"], True),
        (
            ["allowed_amounts", {"length": {"fields": {"reply": {"min_characters": 99, "max_words": 80}}}}],
            True,
        ),
        ([{"allowed_values": {"fields": {"intent": {"values": ["out_of_scope"]}}}}], True),
        ([{"allowed_values": {"fields": {"reply": {"values": ["Yes."]}}}}], False),
        ([{"language": {"allowed": ["en"]}}], False),
    ],
)
def test_some_validators_judge_a_beginning_and_some_must_see_the_whole(verify, can) -> None:
    """One that cannot makes the whole answer wait. So does a closed field."""
    changed = type(USECASE)(
        **{**USECASE.model_dump(), "verify": verify, "root": USECASE.root, "version": "x"}
    )
    made = make_validators(VerifyContext(changed, DETECTOR))
    assert (prefixes(made, "reply") is not None) is can
    assert prefixes(made, "intent") is None


def test_a_teams_own_recognisers_and_models_make_answers_wait() -> None:
    """How far they look, nobody knows."""
    ner = build_detector(ner=lambda text: [])
    assert ner.ahead is None
    assert prefixes(make_validators(VerifyContext(USECASE, ner)), "reply") is None


def test_a_minimum_length_holds_nothing_back_and_a_maximum_does() -> None:
    """What is too short now may still grow."""
    verify = [{"length": {"fields": {"reply": {"min_characters": 5000, "max_words": 12}}}}]
    changed = type(USECASE)(
        **{**USECASE.model_dump(), "verify": verify, "root": USECASE.root, "version": "x"}
    )
    made = prefixes(make_validators(VerifyContext(changed, DETECTOR)), "reply") or ()
    assert all(one.check({"reply": "word " * 12}, envelope_of(USECASE)) is None for one in made)
    assert any(one.check({"reply": "word " * 13}, envelope_of(USECASE)) for one in made)
