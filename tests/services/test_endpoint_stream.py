"""Reading a streamed answer from a real socket: it ends as an answer ends, or it is a failure with a kind."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from services.errors import TargetFailed
from services.prices import Usage
from services.settings import EndpointSettings
from services.targets.chat import ChatReply
from services.targets.endpoint import ChatEndpoint
from tests.scripted_endpoint import ScriptedEndpoint

SECRET = "the prompt holds a secret"
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
async def endpoint(scripted: ScriptedEndpoint) -> AsyncIterator[ChatEndpoint]:
    made = ChatEndpoint("primary", EndpointSettings(base_url=scripted.url, model="scripted"))
    scripted.go_on.clear()
    scripted.gone.clear()
    yield made
    await made.aclose()


async def ask(
    endpoint: ChatEndpoint, told: list[str] | None = None, timeout_s: float = 5.0, idle_s: float = 5.0
) -> ChatReply:
    pieces: list[str] = [] if told is None else told

    async def tell(piece: str) -> None:
        pieces.append(piece)

    return await endpoint.ask_streamed("system", SECRET, FORMAT, 50, timeout_s, idle_s, tell)


async def test_a_streamed_answer_is_told_in_pieces_and_ends_as_the_same_reply(scripted, endpoint) -> None:
    """With its usage, which is asked for; the connection is used again."""
    scripted.will("stream").requests.clear()
    told: list[str] = []
    replies = [await ask(endpoint, told), await ask(endpoint)]
    assert "".join(told) == replies[0].content == json.dumps(scripted.answer)
    assert len(told) > 5
    assert {(r.finish_reason, r.refused, r.usage) for r in replies} == {("stop", False, Usage(100, 10, 0))}
    sent = scripted.requests[0].json()
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    assert scripted.requests[0].headers["accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("behaviour", "kind", "begun"),
    [
        ("stream_cut_off", "broken_connection", True),
        ("stream_truncated", "cut_off", True),
        ("stream_undone", "cut_off", True),
        ("stream_garbage", "bad_stream", True),
        ("stream_bad_json", "bad_stream", True),
        ("stream_huge_line", "bad_stream", True),
        ("stream_error", "stream_error", True),
        ("ok", "bad_stream", False),
        ("not_json", "bad_stream", False),
        ("http_500", "http_500", False),
        ("http_429", "http_429", False),
        ("reset", "broken_connection", False),
        ("garbage", "broken_connection", False),
        ("gzip_bomb", "compressed", False),
        ("redirect", "redirect", False),
        ("refuse", "unreachable", False),
    ],
)  # fmt: skip
async def test_each_way_in_which_a_stream_breaks_has_a_kind_and_holds_no_content(
    scripted, endpoint, behaviour, kind, begun, caplog
) -> None:
    """Never a clean end, and never asked twice. What may have been billed has an unknown cost."""
    scripted.will(behaviour).requests.clear()
    told: list[str] = []
    with caplog.at_level(logging.DEBUG), pytest.raises(TargetFailed) as raised:
        await ask(endpoint, told)
    assert raised.value.kind == kind
    assert bool(told) is begun
    assert len(scripted.requests) == (0 if behaviour == "refuse" else 1)
    assert SECRET not in caplog.text + raised.value.message
    if begun:
        assert raised.value.cost_usd is None


async def test_a_stream_that_falls_silent_in_the_middle_fails_before_its_time_is_over(
    scripted, endpoint
) -> None:
    """Comments are no answer: they do not keep it alive."""
    scripted.will("stream_hangs")
    told: list[str] = []
    with pytest.raises(TargetFailed, match=r"silent for 0\.2 s") as raised:
        await ask(endpoint, told, timeout_s=30, idle_s=0.2)
    assert (raised.value.kind, raised.value.cost_usd) == ("silent", None)
    assert told
    assert await asyncio.to_thread(scripted.gone.wait, 5), "its connection was closed"


async def test_the_time_for_the_whole_holds_however_lively_a_stream_is(scripted, endpoint) -> None:
    """And for the first piece, of which silence says nothing."""
    for behaviour in ("stream_hangs", "hang"):
        scripted.will(behaviour)
        started = time.monotonic()
        with pytest.raises(TargetFailed) as raised:
            await ask(endpoint, timeout_s=0.3, idle_s=30)
        assert raised.value.kind == "timeout"
        assert time.monotonic() - started < 3


async def test_a_stream_may_be_longer_than_an_answer_in_one_piece_but_not_endless(scripted) -> None:
    """Each piece comes in an event of 200 bytes or more."""
    configured = EndpointSettings(base_url=scripted.url, model="scripted")
    for max_bytes, enough in ((1000, True), (100, False)):
        endpoint = ChatEndpoint("primary", configured, max_body_bytes=max_bytes)
        scripted.will("stream")
        try:
            if enough:
                assert (await ask(endpoint)).finish_reason == "stop"
            else:
                with pytest.raises(TargetFailed) as raised:
                    await ask(endpoint)
                assert raised.value.kind == "too_large"
        finally:
            await endpoint.aclose()


async def test_a_filtered_or_cut_answer_says_so(scripted, endpoint) -> None:
    """As one that is not streamed does."""
    scripted.will("stream_filtered", "stream_too_long")
    assert (await ask(endpoint)).refused
    assert (await ask(endpoint)).finish_reason == "length"


async def test_what_comes_after_the_end_is_not_read(scripted, endpoint) -> None:
    """The answer was complete."""
    scripted.will("stream_goes_on")
    assert (await ask(endpoint)).finish_reason == "stop"
