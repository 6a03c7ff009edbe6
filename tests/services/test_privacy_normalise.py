"""The plain form that is scanned, and the map back to the text as it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.privacy.normalise import normalise
from tests.services.privacy_help import found


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("plain ASCII\n1-2", "plain ASCII\n1-2"),
        ("４１１１", "4111"),
        ("٤١١١ ४१११", "4111 4111"),
        ("4\u200b1\u200d1\ufeff1", "4111"),
        ("4\u20661\u202e1\u00ad1", "4111"),
        ("4\u03321\u20dd1", "411"),
        ("4\x001", "41"),
        ("4111\u00a01111\u20031111", "4111 1111 1111"),
        ("1–2—3−4‑5", "1-2-3-4-5"),
        ("a＠b．c", "a@b.c"),
        ("②⁴½", "24" + "1\u20442"),
        ("l’été", "l'été"),
        ("❹➀➊⓵⓿❿", "4111010"),
        ("4\u16801\u20281\u20291", "4 1 1 1"),
    ],
)
def test_what_reads_the_same_becomes_the_same(written: str, plain: str) -> None:
    assert normalise(written).text == plain


NOT_SHOWN = (
    0x3164, 0x115F, 0x1160, 0xFFA0, 0x2065, 0x2800, 0xFFF0, 0xFFF8, 0xFFFC, 0xFFFD, 0x034F, 0x17B4, 0x180E,
    0xFE0F, 0xE0041, 0xE01EF, 0xFDD0, 0x0378, 0xE000, 0x1BCA0,
)  # fmt: skip


@pytest.mark.parametrize("filler", map(chr, NOT_SHOWN), ids=[f"{code:04x}" for code in NOT_SHOWN])
def test_what_is_shown_as_nothing_is_nothing(filler: str) -> None:
    """Default_Ignorable_Code_Point, blanks that are no space, unassigned and private characters."""
    card = filler.join("4111111111111111")
    assert normalise(card).text == "4111111111111111"
    assert found(f"my card {card} is lost") == [("card", card)]


@pytest.mark.parametrize("space", ["\u1680", "\u2028", "\u2029", "\u3000"])
def test_spaces_of_all_kinds_group_digits(space: str) -> None:
    card = space.join(("4111", "1111", "1111", "1111"))
    assert found(f"my card {card} is lost") == [("card", card)]


@pytest.mark.parametrize("space", ["&nbsp;", "&#160;", " &NBSP; "])
def test_a_space_as_html_writes_it_is_one(space: str) -> None:
    card = space.join(("4111", "1111", "1111", "1111"))
    assert normalise(f"{card} & co").text.split() == ["4111", "1111", "1111", "1111", "&", "co"]
    assert found(f"my card {card} is lost") == [("card", card)]


def test_a_span_covers_the_written_characters_with_their_marks_and_what_is_between() -> None:
    text = "x 4\u0332\u200b1\u0332 y"
    form = normalise(text)
    start = form.text.index("41")
    first, last = form.original_span(start, start + 2)
    assert text[first:last] == "4\u0332\u200b1\u0332"


def test_a_span_inside_one_wide_character_covers_it() -> None:
    form = normalise("a½b")
    assert form.original_span(1, 2) == (1, 2)


@given(st.text(max_size=40), st.data())
def test_spans_in_the_original_say_the_same_as_in_the_plain_form(text: str, data: st.DataObject) -> None:
    form = normalise(text)
    if form.text:
        start = data.draw(st.integers(0, len(form.text) - 1))
        end = data.draw(st.integers(start + 1, len(form.text)))
        first, last = form.original_span(start, end)
        assert 0 <= first < last <= len(text)
        assert form.text[start:end] in normalise(text[first:last]).text


@given(st.text(max_size=60))
def test_the_plain_form_of_a_plain_form_is_itself(text: str) -> None:
    once = normalise(text).text
    assert normalise(once).text == once
