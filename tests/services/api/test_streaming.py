"""Answers that go out while they are written, through the official client and over real sockets."""

from pathlib import Path

import openai

from tests.streamed import PLAIN, streamed


async def test_text_flows_while_the_model_still_writes_and_ends_as_the_answer(home: Path) -> None:
    """The first text is there before the endpoint wrote half; joined it is the answer, with its receipt."""
    async with streamed(home) as app:
        app.endpoint.will("stream_hangs")
        stream = await app.stream()
        seen = []
        async for chunk in stream:
            seen.append(chunk)
            if len(seen) == 3:
                break
        assert seen[0].choices[0].delta.role == "assistant"
        assert PLAIN.startswith(seen[1].choices[0].delta.content[:20])
        app.endpoint.go_on.set()
        seen += [chunk async for chunk in stream]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in seen)
        assert text == PLAIN * 12
        assert [chunk.choices[0].finish_reason for chunk in seen[:-1]] == [None] * (len(seen) - 1)
        assert seen[-1].choices[0].finish_reason == "stop"
        provenance = seen[-1].model_extra["x_switchyard"]
        assert provenance["route"] == "cloud/primary"
        assert provenance["output"]["reply"] == text
        (commit,), (decision,) = app.records("stream"), app.records("decision")
        assert (commit["id"], commit["target"]) == (decision["id"], "cloud/primary")
        assert commit["policy_ids"] == ["permit-it"]
        assert commit["seq"] < decision["seq"]
        assert decision["stream"]["incomplete"] is None


async def test_a_stream_that_breaks_off_is_an_error_of_the_client_and_no_end(home: Path) -> None:
    """After the first text nobody else is asked, nothing is asked again, and the record says incomplete."""
    async with streamed(home) as app:
        app.endpoint.will("stream_cut_off").requests.clear()
        text, chunks, error = await app.read()
        assert isinstance(error, openai.APIError)
        assert "broke off" in error.message
        assert text
        assert (PLAIN * 12).startswith(text)
        assert all(chunk.choices[0].finish_reason is None for chunk in chunks)
        assert len(app.endpoint.requests) == 1
        (decision,) = app.records("decision")
        assert decision["route"] is None
        assert "connection" in decision["stream"]["incomplete"]
        assert decision["stream"]["released"] == text
