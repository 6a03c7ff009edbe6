"""Re-identification of a text that arrives in pieces is that of the whole, wherever it is cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.privacy.reidentify import StreamReidentifier, reidentify
from services.privacy.vault import Vault, VaultSealed
from tests.services.privacy_help import TEXTS, sealed

ORIGINALS = {"<CARD_1>": "4111 1111 1111 1111", "<CARD_12>": "5555", "<NATIONAL_ID_1>": 'a "quoted" <CARD_1>'}
REPLIES = st.lists(
    st.one_of(
        st.sampled_from([*ORIGINALS, "<", ">", "<CARD_", "<CARD_1", "<CARD_9>", "<<CARD_1>>"]),
        st.text(max_size=6),
    ),
    max_size=12,
).map("".join)


def chunked(text: str, cuts: list[int]) -> list[str]:
    """The text cut at these places."""
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(places)]


@given(REPLIES, st.lists(st.integers(min_value=0, max_value=10_000), max_size=20))
@settings(max_examples=500, deadline=None)
def test_any_chunking_gives_what_the_whole_gives(reply: str, cuts: list[int]) -> None:
    vault = Vault("r", ORIGINALS)
    stream = StreamReidentifier(vault)
    pieces = [stream.feed(chunk) for chunk in chunked(reply, cuts)] + [stream.finish()]
    assert "".join(pieces) == reidentify(reply, vault)


@given(TEXTS, st.lists(st.integers(min_value=0, max_value=10_000), max_size=20))
@settings(max_examples=150, deadline=None)
def test_an_echoed_request_comes_back_through_a_stream_as_it_was(text: str, cuts: list[int]) -> None:
    envelope, vault = sealed(text=text)
    stream = StreamReidentifier(vault, envelope)
    redacted = str(envelope.fields["text"])
    assert "".join([stream.feed(c) for c in chunked(redacted, cuts)] + [stream.finish()]) == text


def test_one_character_at_a_time_no_part_of_a_placeholder_leaves_early() -> None:
    stream = StreamReidentifier(Vault("r", ORIGINALS))
    assert [stream.feed(char) for char in "a<CARD_1>b"] == ["a", *[""] * 7, ORIGINALS["<CARD_1>"], "b"]


def test_what_cannot_become_a_placeholder_is_not_held_back() -> None:
    stream = StreamReidentifier(Vault("r", ORIGINALS))
    assert stream.feed("1 < 2 and <b>bold</b> <CARD_9") == "1 < 2 and <b>bold</b> <CARD_9"


def test_a_placeholder_cut_off_by_the_end_of_the_stream_is_text() -> None:
    stream = StreamReidentifier(Vault("r", ORIGINALS))
    assert stream.feed("see <CARD_1") == "see "
    assert stream.finish() == "<CARD_1"
    assert stream.finish() == ""


@given(st.lists(st.integers(min_value=0, max_value=10_000), max_size=10))
def test_in_json_originals_are_escaped_so_that_the_document_stays_whole(cuts: list[int]) -> None:
    document = json.dumps({"reply": "you are <NATIONAL_ID_1>, card <CARD_1>"})
    stream = StreamReidentifier(Vault("r", ORIGINALS), in_json=True)
    whole = "".join([stream.feed(chunk) for chunk in chunked(document, cuts)] + [stream.finish()])
    assert json.loads(whole) == {
        "reply": f"you are {ORIGINALS['<NATIONAL_ID_1>']}, card {ORIGINALS['<CARD_1>']}"
    }


def test_a_stream_of_another_request_is_refused() -> None:
    _, mine = sealed(text="4111 1111 1111 1111")
    theirs, _ = sealed(text="x")
    with pytest.raises(VaultSealed):
        StreamReidentifier(mine, theirs)


def test_a_streams_repr_shows_no_original() -> None:
    assert "4111" not in repr(StreamReidentifier(Vault("r", ORIGINALS)))


def test_structures_keep_their_keys_and_types() -> None:
    value = {"a": ["<CARD_12>", 1, None, True], "<CARD_12>": {"b": ("<CARD_12>",)}, "n": 1.5}
    assert reidentify(value, Vault("r", ORIGINALS)) == {
        "a": ["5555", 1, None, True],
        "<CARD_12>": {"b": ("5555",)},
        "n": 1.5,
    }
