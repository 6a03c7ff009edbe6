"""What is found, what is left alone, and that nothing gets past a recogniser that fails."""

import logging
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.privacy.detect import Detector, build_detector, settle
from services.privacy.kinds import BUILT_IN, Span, detected_tags, tags_of
from services.privacy.reading import Reading
from services.privacy.recognisers.presidio import PresidioPattern
from tests.services.privacy_help import PERSONAL, TEXTS, found, the_detector


@pytest.mark.parametrize(("kind", "text"), PERSONAL.items())
def test_each_kind_is_found_without_any_word_around_it(kind: str, text: str) -> None:
    assert found(f"see {text} please") == [(kind, text)]


@pytest.mark.parametrize(
    "card",
    [
        "4111111111111111", "4111-1111-1111-1111", "4111.1111.1111.1111", "4111  1111  1111  1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "3782 822463 10005", "4111\n1111\n1111\n1111",
        "4111 - 1111 - 1111 - 1111",
        "４１１１　１１１１　１１１１　１１１１", "4111\u200b1111\u200c1111\u200d1111",
        "٤١١١١١١١١١١١١١١١",
        "4\u03321\u03321\u03321\u0332 1111 1111 1111\u0332", "4111\u202a1111\u202c1111\u20661111",
        "4111–1111–1111–1111", "4111\u00a01111\u20091111\u30001111", "4111\u00ad1111\u00ad1111\u00ad1111",
    ],
)  # fmt: skip
def test_a_card_is_found_however_its_digits_are_written(card: str) -> None:
    assert found(f"my card {card} is blocked") == [("card", card)]


SEPARATORS = (
    *",|*:;'~+=\\][><&#\"!?→", "    ", "\n\n\n\n", "....", "\n> ", "\n>> ", " | ", "][", ", ",
    "_" * 10, " " * 16,
)  # fmt: skip
GROUPED = {"card": "4111 1111 1111 1111", "iban": "GB82 WEST 1234 5698 7654 32"}


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("kind", GROUPED)
def test_what_a_sum_guards_is_found_whatever_stands_between_its_groups(kind: str, separator: str) -> None:
    """Cards and IBANs, in groups and one by one."""
    for groups in (GROUPED[kind].split(), list(GROUPED[kind].replace(" ", ""))):
        written = separator.join(groups)
        assert found(f"x {written} y") == [(kind, written)]


def test_words_between_groups_keep_them_apart() -> None:
    assert found("4111 or 1111 or 1111 or 1111") == []
    assert found("4111" + ",;" * 8 + "1111 1111 1111") == []


def test_a_card_that_is_shown_right_to_left_is_found() -> None:
    """After U+202E a reader sees the digits in one order, and they are stored in the other."""
    shown = "5105 1051 0510 5100"
    assert found(f"pay \u202e{shown[::-1]}\u202c now") == [("card", shown[::-1])]


@pytest.mark.parametrize(
    "address",
    ["anna @ example.org", "anna@ example.org", "anna%40example.org", "anna AT example DOT org",
     "anna {at} example {dot} org", "ANNA (AT) EXAMPLE.ORG"],
)  # fmt: skip
def test_an_address_is_found_however_its_at_sign_is_written(address: str) -> None:
    assert found(f"write to {address} please") == [("email", address)]


@pytest.mark.parametrize("text", ["3 apples @ 2.50 each", "look at example dot com", "meet AT noon. Thanks"])
def test_an_at_sign_in_a_sentence_is_no_address(text: str) -> None:
    assert found(text) == []


def test_a_card_is_found_beside_its_expiry_and_code() -> None:
    assert found("4242 4242 4242 4242 12/27 123") == [("card", "4242 4242 4242 4242")]
    assert found("card:4242424242424242,exp 12/27") == [("card", "4242424242424242")]


@pytest.mark.parametrize(
    "wrong", ["4111 1111 1111 1112", "1234 5678 9012 3456", "9999999999999995", "0000000000000000"]
)
def test_a_number_that_fails_the_check_or_that_no_issuer_gives_out_is_no_card(wrong: str) -> None:
    assert "card" not in [kind for kind, _ in found(f"number {wrong} here")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my name is ines calder and i need help", "ines calder"),
        ("Hi, this is Dr Ines Calder.", "Dr Ines Calder"),
        ("MY NAME IS INES CALDER AND MY CARD IS LOST", "INES CALDER"),
        ("I'm Jean-Paul O'Neill, hello", "Jean-Paul O'Neill"),
        ("me llamo María José de la Cruz y quiero", "María José de la Cruz"),
        ("mein Name ist Jürgen von der Heide.", "Jürgen von der Heide"),
        ("hier spricht Frau Dr. Weiß", "Frau Dr. Weiß"),
        ("je m’appelle Zoë Müller", "Zoë Müller"),
        ("nazywam się Łukasz Wójcik", "Łukasz Wójcik"),
        ("меня зовут Анна Петрова", "Анна Петрова"),
    ],
)
def test_names_are_found_after_an_introduction(text: str, expected: str) -> None:
    assert found(text) == [("name", expected)]


@pytest.mark.parametrize(
    "text",
    [
        "my name is wrong on the card", "My name is not showing", "I am Happy with it", "it's still missing",
        "this is my card", "I'm looking for Google Pay", "the name is misspelled", "This is American Express",
    ],
)  # fmt: skip
def test_words_after_an_introduction_are_no_names(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "I paid £1,234.50 on 12/03/2024 at 10:30", "order 48213 and 77120934 are late",
        "my card expires 12/27",
        "2026-11-22T10:00:00Z", "rate 1.2345, 3-5 days, page 12-14", "version 3.8.8", "call me in 10 minutes",
        "I was born to shop", "password does not work", "my pin is blocked", "std::cout << x", "5 + 5 = 10",
    ],
)  # fmt: skip
def test_amounts_dates_times_and_order_numbers_are_left_alone(text: str) -> None:
    assert found(text) == []


def test_a_date_is_personal_only_where_the_text_speaks_of_birth() -> None:
    assert found("I was born on 12 March 1987") == [("birth_date", "12 March 1987")]
    assert found("I paid on 12 March 2024") == []
    assert found("date of birth 31/02/1987") == []


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("my password is Hunter22!", "Hunter22!"),
        ("password: swordfish", "swordfish"),
        ("PIN 4921", "4921"),
        ("the security code is 123", "123"),
        ("https://bob:s3cret@host.example/x", "bob:s3cret"),
        ("https://h.example/?access_token=abcdef123", "abcdef123"),
        ("Authorization: Bearer abcdefghijklmnop.qrs", "abcdefghijklmnop.qrs"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",) * 2,
    ],
)
def test_credentials_are_found_where_a_text_says_what_they_are(text: str, secret: str) -> None:
    assert any(kind == "secret" and secret in covered for kind, covered in found(text))


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_spans_are_in_order_disjoint_not_empty_and_of_known_kinds(text: str) -> None:
    done = 0
    for span in the_detector().scan(text):
        assert done <= span.start < span.end <= len(text)
        assert span.kind in BUILT_IN
        done = span.end


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 9), st.sampled_from("ab"), st.floats(0, 1)), max_size=8
    )
)
def test_settled_spans_cover_exactly_what_the_given_ones_covered(
    given_spans: list[tuple[int, int, str, float]],
) -> None:
    spans = [Span(start, start + size, kind, score) for start, size, kind, score in given_spans]
    done = settle(spans)
    assert {i for s in spans for i in range(s.start, s.end)} == {
        i for s in done for i in range(s.start, s.end)
    }
    assert all(one.end <= other.start for one, other in pairwise(done))


def test_where_finds_overlap_the_surest_kind_names_all_of_it() -> None:
    assert settle([Span(0, 10, "phone", 0.7), Span(5, 15, "card", 1.0)]) == [Span(0, 15, "card", 1.0)]


class Fails:
    """A third-party recogniser with a bug."""

    name = "buggy"
    supported_entities = ("X",)

    def analyze(self, text: str, entities: object) -> Iterable[object]:
        raise RuntimeError(f"cannot read {text}")


def test_a_recogniser_that_fails_lets_nothing_through_and_logs_no_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = PresidioPattern(Fails(), "national_id", re.compile("[0-9]"))
    detector = Detector([broken], (), (), (), ())
    with caplog.at_level(logging.DEBUG):
        spans = detector.scan("the id 12345 is mine")
    assert [(s.kind, s.start, s.end) for s in spans] == [("national_id", 0, 20)]
    assert "12345" not in caplog.text
    assert "buggy" in caplog.text


def test_presidio_logs_nothing_of_a_text(caplog: pytest.LogCaptureFixture) -> None:
    the_detector()
    with caplog.at_level(logging.DEBUG):
        for text in PERSONAL.values():
            the_detector().scan(f"{text} born 12/03/1987 my name is Ines")
    assert caplog.text == ""


def test_no_scan_reaches_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presidio's own e-mail recogniser would fetch the public suffix list at the first e-mail."""
    import tldextract

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked for the suffix list")

    monkeypatch.setattr(tldextract, "extract", refuse)
    assert found("write to ines@example.com") == [("email", "ines@example.com")]


class Places:
    """A NER model that knows two words."""

    def __call__(self, text: str) -> list[Span]:
        return [
            Span(text.index(word), text.index(word) + len(word), "location", 0.8)
            for word in ("Cork",)
            if word in text
        ]


def test_the_ner_hook_adds_what_a_model_finds_and_nothing_outside_the_text() -> None:
    detector = build_detector(ner=Places())
    text = "I live in \u200bCork, 4111111111111111"
    assert [(s.kind, text[s.start : s.end]) for s in detector.scan(text)] == [
        ("location", "Cork"),
        ("card", "4111111111111111"),
    ]
    wild = build_detector(
        ner=lambda text: [Span(-5, 3, "name", 1.0), Span(2, 99, "name", 1.0), Span(3, 3, "name", 1.0)]
    )
    assert wild.scan("hello") == []


def test_a_ner_hook_that_fails_lets_nothing_through(caplog: pytest.LogCaptureFixture) -> None:
    def fails(text: str) -> list[Span]:
        raise RuntimeError(text)

    detector = Detector((), (), (), (), (), ner=fails)
    assert detector.scan("Ines lives in Cork") == [Span(0, 18, "entity", 0.0)]
    assert detector.scan("") == []
    assert "Ines" not in caplog.text


def test_a_ner_kind_that_no_placeholder_could_carry_gets_a_plain_name() -> None:
    detector = Detector((), (), (), (), (), ner=lambda text: [Span(0, 4, "B-PER 1", 0.9)])
    assert [span.kind for span in detector.scan("Ines")] == ["entity"]


def test_the_vocabulary_of_tags_is_what_kinds_lead_to() -> None:
    assert tags_of("card") == {"pii", "pii_card"}
    assert tags_of("secret") == {"secret"}
    assert the_detector().tags == detected_tags()
    assert "pii_secret" not in the_detector().tags


HOSTILE = (
    "1 ",
    "11 ",
    "1.",
    "a1:",
    "@",
    "a@",
    "1-1-",
    "GB82",
    "0 7 ",
    "born 1.1.",
    "my name is ",
    "A1",
    "://a:",
    "eyJ.",
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_cost_of_a_hostile_text_grows_with_its_length_and_not_with_its_square(piece: str) -> None:
    """Counted, not timed: twice the text may make at most some three times the candidate rows."""

    class Counting(Reading):
        rows = 0

        def runs(self, lengths: Sequence[int] | frozenset[int], most_groups: int) -> Iterable[object]:  # type: ignore[override]  # counts what the real one yields
            for run in super().runs(lengths, most_groups):
                Counting.rows += 1
                yield run

    counts = []
    for size in (500, 1000):
        Counting.rows = 0
        reading = Counting(piece * size)
        for recogniser in the_detector()._with_digits:
            list(recogniser.find(reading, []))
        counts.append(Counting.rows)
    assert counts[1] <= 3 * max(counts[0], 100)
