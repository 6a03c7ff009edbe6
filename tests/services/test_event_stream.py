"""An event stream is read strictly and within bounds, wherever its bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.targets.event_stream import BadStreamError, EventStream

STREAM = (
    b': hello\n\nevent: x\nid: 7\ndata: {"a":1}\n\n'
    b"data: two\r\ndata:lines\r\n\r\nretry: 5\n\ndata: [DONE]\n\n"
)


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    """Comments, other fields, either end of line, several lines of data."""
    places = sorted({0, len(STREAM), *cuts})
    events = EventStream()
    found = [data for a, b in pairwise(places) for data in events.feed(STREAM[a:b])]
    assert found == ['{"a":1}', "two\nlines", "[DONE]"]


@pytest.mark.parametrize(
    "garbage", [b"<html>\n", b"hello: you\n", b'{"data": 1}\n', b"data: \xff\xfe\n", b" data: x\n"]
)
def test_what_is_no_event_stream_is_refused_without_repeating_it(garbage: bytes) -> None:
    """A line that is no known field, or not UTF-8."""
    with pytest.raises(BadStreamError) as raised:
        list(EventStream().feed(garbage))
    assert not any(word in str(raised.value) for word in ("html", "hello", "you"))


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_longer_than_the_bound_is_refused_before_it_ends(end: bytes) -> None:
    """So is an event of many lines: what is held is bounded."""
    with pytest.raises(BadStreamError, match="more than 100 bytes"):
        list(EventStream(100).feed(b"data: " + b"x" * 100 + end))
    with pytest.raises(BadStreamError, match="more than 100 bytes"):
        list(EventStream(100).feed(b"data: xxxxxxxxxx\n" * 12))
    assert list(EventStream(100).feed((b"data: " + b"x" * 80 + b"\n\n") * 50)) == ["x" * 80] * 50


def test_an_event_that_never_ends_is_none() -> None:
    """Without its empty line it is not complete."""
    assert list(EventStream().feed(b"data: [DONE]\n")) == []
