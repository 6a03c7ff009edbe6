"""The text of one field comes out of a JSON object while it arrives, wherever the pieces are cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.targets.json_stream import FieldText

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CUTS = st.lists(st.integers(min_value=0, max_value=10_000), max_size=20)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def cut(text: str, cuts: list[int]) -> list[str]:
    places = sorted({place % (len(text) + 1) for place in cuts} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(places)]


def read(pieces: list[str], field: str = "reply") -> tuple[str, list[str]]:
    """The text in the end, and what it was after each piece."""
    reading = FieldText(field)
    seen = []
    for piece in pieces:
        grew = reading.feed(piece)
        assert grew == (reading.text != (seen[-1] if seen else ""))
        seen.append(reading.text)
    return reading.text, seen


@given(
    TEXTS,
    st.dictionaries(st.text(max_size=6).filter(lambda key: key != "reply"), VALUES, max_size=3),
    st.dictionaries(st.text(max_size=6).filter(lambda key: key != "reply"), VALUES, max_size=3),
    st.booleans(),
    st.sampled_from([None, 1]),
    CUTS,
)
@settings(max_examples=300, deadline=None)
def test_any_object_in_any_pieces_gives_what_the_whole_gives(
    reply, before, after, ascii_, indent, cuts
) -> None:
    """Whatever stands before and behind it, escaped or not; and what came so far is its beginning."""
    document = json.dumps({**before, "reply": reply, **after}, ensure_ascii=ascii_, indent=indent)
    text, seen = read(cut(document, cuts))
    assert text == reply
    assert all(reply.startswith(part) for part in seen)


@given(st.text(max_size=60), CUTS)
@settings(max_examples=300, deadline=None)
def test_what_is_no_such_object_gives_nothing_that_is_not_there_and_never_fails(document, cuts) -> None:
    """Anything at all may come: at worst there is no text."""
    text, _ = read(cut(document, cuts))
    try:
        value = json.loads(document)
    except ValueError:
        return
    assert not text or text == value["reply"]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ('["reply", "x"]', ""),
        ('"reply"', ""),
        ('Sure! {"reply": "x"}', ""),
        ('{"other": {"reply": "inner"}, "reply": "outer"}', "outer"),
        ('{"other": ["}", {"a": "\\"}"}], "reply": "outer"}', "outer"),
        ('{"reply": 5, "reply": "x"}', ""),
        ('{"reply": "first", "reply": "second"}', "first"),
        ('{"\\u0072eply": "escaped key"}', "escaped key"),
        ('{"reply": "a\\ud83d\\ude00b"}', "a\U0001f600b"),
        ('{"reply": "half \\ud83d"}', "half "),
        ('{"reply": "half \\ud83d and more"}', "half "),
        ('{"reply": "half \\ude00 and more"}', "half "),
        ('{"reply": "a\nb"}', "a"),
        ('{"reply": "a\\qb"}', "a"),
        ('{"reply": "a\\u12x4b"}', "a"),
        ('{"reply": "cut o', "cut o"),
    ],
)
def test_what_it_makes_of_odd_objects(document: str, text: str) -> None:
    """Only a member of the outermost object counts; what JSON forbids ends the text where it stands."""
    assert read(list(document))[0] == text
