"""A streamed completion is whole only with a reason for its end, and the end itself."""

import json
from typing import Any

import pytest

from services.errors import TargetFailed, TargetRefused
from services.prices import Usage
from services.targets.chat_stream import ChatStream


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return json.dumps({"object": "chat.completion.chunk", "model": "m", "choices": [choice], **more})


WHOLE = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hello"}),
    chunk({"content": " there"}),
    chunk({}, "stop"),
    json.dumps({"model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
    "[DONE]",
]


def read(events: list[str]) -> tuple[ChatStream, list[str]]:
    stream = ChatStream(lambda model: model in (None, "m"))
    return stream, [stream.feed(event) for event in events]


def test_a_whole_stream_is_the_reply_with_its_usage() -> None:
    """Its pieces come out as they arrive."""
    stream, pieces = read(WHOLE)
    reply = stream.reply()
    assert pieces == ["", "Hello", " there", "", "", ""]
    assert (reply.content, reply.finish_reason, reply.refused) == ("Hello there", "stop", False)
    assert reply.usage == Usage(3, 2, 0)


@pytest.mark.parametrize("kept", range(len(WHOLE)))
def test_a_stream_that_stops_anywhere_before_its_end_is_a_failure_of_unknown_cost(kept: int) -> None:
    """A truncated answer is never an answer."""
    stream, _ = read(WHOLE[:kept])
    with pytest.raises(TargetFailed) as raised:
        stream.reply()
    assert (raised.value.kind, raised.value.cost_usd) == ("cut_off", None)


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        (["[DONE]"], "bad_stream"),
        (["not json SECRET"], "bad_stream"),
        (["[" * 100_000], "bad_stream"),
        (["[1]"], "bad_stream"),
        (['{"choices": "SECRET"}'], "bad_stream"),
        (['{"choices": [1]}'], "bad_stream"),
        ([json.dumps({"choices": [{"index": 1, "delta": {"content": "SECRET"}}]})], "bad_stream"),
        ([chunk({"content": 5})], "bad_stream"),
        ([chunk({}, finish=5)], "bad_stream"),  # type: ignore[arg-type]  # wrong on purpose
        ([chunk("SECRET")], "bad_stream"),
        ([*WHOLE, WHOLE[1]], "bad_stream"),
        ([*WHOLE[:4], WHOLE[1]], "bad_stream"),
        ([*WHOLE[:4], WHOLE[3]], "bad_stream"),
        (['{"error": {"message": "SECRET"}}'], "stream_error"),
        ([WHOLE[1], '{"error": null}'], "stream_error"),
        ([chunk({"content": "x"}, model="SECRET")], "wrong_model"),
    ],
)
def test_whatever_is_not_a_streamed_completion_is_a_failure_that_says_nothing_of_it(events, kind) -> None:
    """And nobody knows what it cost."""
    with pytest.raises(TargetFailed) as raised:
        read(events)
    assert (raised.value.kind, raised.value.cost_usd) == (kind, None)
    assert "SECRET" not in raised.value.message


def test_a_refusal_is_said_in_the_reply_and_no_more_text_comes_out() -> None:
    """By the model, or by a content filter at its end or in mid-stream."""
    stream, pieces = read([chunk({"refusal": "I "}), chunk({"content": "but"}), chunk({}, "stop"), "[DONE]"])
    assert stream.reply().refused
    assert pieces[1] == ""
    stream, _ = read([*WHOLE[:3], chunk({}, "content_filter"), "[DONE]"])
    assert stream.reply().refused
    with pytest.raises(TargetRefused):
        read([WHOLE[1], '{"error": {"code": "content_filter"}}'])
