"""Answers that go out while they are written, through the official client and over real sockets."""

import asyncio
import json
from pathlib import Path

import httpx
import openai
import pytest

from services.errors import JournalUnavailable
from services.journal_reader import read_entries, verify_journal
from services.receipt_check import verify_receipt
from services.receipt_keys import public_jwks
from tests.served import all_bytes, served
from tests.streamed import ASKED, PLAIN, incremental, once, streamed


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


BREAKS = (
    "stream_truncated", "stream_undone", "stream_garbage", "stream_bad_json", "stream_huge_line",
    "stream_error", "stream_filtered", "stream_too_long",
)  # fmt: skip


async def test_whatever_breaks_a_stream_after_its_first_text_never_ends_it_cleanly(home: Path) -> None:
    """No `[DONE]`, no finish reason, no receipt: an error event, which the client raises."""
    async with streamed(home) as app, httpx.AsyncClient(trust_env=False) as plain:
        key = {"authorization": f"Bearer {app.client.api_key}"}
        for behaviour in BREAKS:
            app.endpoint.will(behaviour).requests.clear()
            body = {"model": "support", "messages": ASKED, "stream": True}
            answer = await plain.post(f"{app.url}/v1/chat/completions", json=body, headers=key)
            events = answer.text.split("\n\n")
            assert answer.status_code == 200, behaviour
            assert json.loads(events[-2].removeprefix("data: "))["error"]["type"] == "stream_broken"
            assert not any(word in answer.text for word in ("[DONE]", '"stop"', "x_switchyard"))
            assert len(app.endpoint.requests) == 1, "it was asked once"
        text, _, error = await app.read()
        assert text
        assert isinstance(error, openai.APIError)


async def test_before_the_first_text_a_failure_goes_on_to_the_next_target(home: Path) -> None:
    """Nothing is committed: the caller gets a whole answer from further down, and its end."""
    async with streamed(home, answer="Too short to flow.", cloud={"timeout_s": 0.5, "retries": 0}) as app:
        for behaviour in ("http_500", "stream_cut_off", "stream_error", "ok", "hang", "refusal"):
            app.endpoint.will(behaviour)
            text, chunks, error = await app.read()
            assert error is None, behaviour
            assert text.startswith("I could not answer this safely")
            assert chunks[-1].model_extra["x_switchyard"]["route"] == "safe_default"
        assert not app.records("stream")
        assert not any("stream" in record for record in app.records("decision"))


async def test_a_final_verdict_that_refuses_ends_the_stream_with_an_error(home: Path) -> None:
    """The beginning was fine, the end is not: nothing from there on was sent, and no clean end."""
    bad = PLAIN * 6 + "Please pay to IBAN DE89 3704 0044 0532 0130 00 and " + PLAIN * 6
    async with streamed(home, answer=bad) as app:
        text, _, error = await app.read()
        assert text
        assert (PLAIN * 6 + "Please pay to").startswith(text)
        assert isinstance(error, openai.APIError)
        assert "no_new_pii" in error.message
        (decision,) = app.records("decision")
        assert decision["output"] is None
        assert "no_new_pii" in decision["stream"]["incomplete"]
        held = all_bytes(home)
        # the whole number: four characters alone turn up in digests and sealed bytes by chance
        assert b"DE89 3704 0044 0532 0130 00" not in held
        assert b"DE89370400440532013000" not in held


async def test_personal_data_of_the_caller_comes_back_to_it_and_to_no_record(home: Path) -> None:
    """Placeholders are put back as the text flows, wherever the endpoint cuts it; the journal has them."""
    answer = PLAIN * 4 + "Your card <CARD_1> is blocked. " + PLAIN * 6
    async with streamed(home, answer=answer) as app:
        app.endpoint.cuts = list(json.dumps(app.endpoint.answer))  # one character each
        text, chunks, error = await app.read()
        assert error is None
        assert text == answer.replace("<CARD_1>", "4111 1111 1111 1111")
        assert len(chunks) > 5
        assert "<CARD_1>" in app.records("decision")[0]["output"]["reply"]
        held = all_bytes(home)
        assert b"4111 1111 1111 1111" not in held
        assert b"4111111111111111" not in held


async def test_a_caller_that_goes_away_ends_the_work_and_the_record_says_so(home: Path) -> None:
    """The endpoint's connection is closed, all that was held is counted, the gate's place is free again."""
    async with streamed(home, max_concurrency=1, max_queue=0) as app:
        app.endpoint.will("stream_hangs")
        stream = await app.stream()
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        with pytest.raises(openai.RateLimitError):
            await app.stream()
        await stream.close()
        assert await asyncio.to_thread(app.endpoint.gone.wait, 10)
        (decision,) = await app.recorded("decision")
        assert "went away" in decision["stream"]["incomplete"]
        assert decision["cost_usd"] is None
        use = await app.runtime_use()
        assert use.reserved == 0
        assert use.spent > 0
        app.endpoint.will("stream")
        text, _, error = await app.read()
        assert (text, error) == (PLAIN * 12, None)


async def test_a_caller_that_goes_away_before_any_text_ends_the_work_too(home: Path) -> None:
    """What was sent to an endpoint is on record, with its unknown cost."""
    async with streamed(home) as app:
        app.endpoint.will("hang").requests.clear()
        asking = asyncio.create_task(app.stream())
        await once(lambda: app.endpoint.requests or None)
        asking.cancel()
        (decision,) = await app.recorded("decision")
        assert decision["route"] is None
        assert decision["attempts"][-1]["reason"].startswith("its caller went away")
        assert not app.records("stream")
        assert (await app.runtime_use()).reserved == 0


async def test_a_stream_that_hangs_ends_with_an_error_when_the_requests_time_is_over(home: Path) -> None:
    """Deadline and silence hold until the end of the stream, not only until its first text."""
    async with streamed(home, request_timeout_s=1.0) as app:
        app.endpoint.will("stream_hangs")
        _, _, error = await app.read()
        assert isinstance(error, openai.APIError)
        assert "left" in error.message
    async with streamed(home / "b", cloud={"stream_idle_s": 0.3}) as app:
        app.endpoint.will("stream_hangs")
        _, _, error = await app.read()
        assert isinstance(error, openai.APIError)
        assert "silent" in error.message


async def test_what_must_be_judged_as_a_whole_waits_for_the_whole(home: Path) -> None:
    """A demand of the caller, or a validator that cannot judge a beginning: one answer, then its chunks."""
    async with streamed(home) as app:
        app.endpoint.will("ok").requests.clear()
        for demand in ({"response_format": {"type": "json_object"}}, {"max_tokens": 5000}):
            _, chunks, error = await app.read(**demand)
            assert error is None
            assert chunks[-1].model_extra["x_switchyard"]["route"] == "cloud/primary"
        assert all("stream" not in seen.json() for seen in app.endpoint.requests)
        assert not app.records("stream")
    verify = ["output_schema", {"allowed_values": {"fields": {"reply": {"values": [PLAIN * 12]}}}}]
    async with streamed(home / "b", cloud={"verify": verify}) as app:
        app.endpoint.will("ok")
        text, _, error = await app.read()
        assert (text, error) == (PLAIN * 12, None)
        assert not app.records("stream")


async def test_the_receipt_of_a_streamed_answer_is_bound_to_its_final_record(home: Path) -> None:
    """As that of any other answer; asked for usage, a client gets it last."""
    async with streamed(home) as app:
        _, chunks, error = await app.read(stream_options={"include_usage": True})
        assert error is None
        assert chunks[-1].usage.total_tokens == 0
        provenance = chunks[-1].model_extra["x_switchyard"]
        claims = verify_receipt(provenance["receipt"], public_jwks(app.runtime.settings.keys_dir))
        (entry,) = [
            e for e in read_entries(app.runtime.settings.journal_dir) if e.record["kind"] == "decision"
        ]
        assert claims["journal"]["hash"] == entry.hash
        assert claims["id"] == provenance["id"] == entry.record["id"]
        assert entry.record["stream"]["commit"] in {
            e.hash for e in read_entries(app.runtime.settings.journal_dir) if e.record["kind"] == "stream"
        }
        assert not verify_journal(app.runtime.settings.journal_dir).problems


async def test_without_its_record_nothing_goes_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that cannot take the commit holds the text back; the answer goes out whole if it recovers."""
    async with streamed(home) as app:
        journal = app.runtime.pipeline._journal

        async def full(*_: object) -> None:
            raise JournalUnavailable("disk full")

        monkeypatch.setattr(journal, "append_stream", full)
        text, _, error = await app.read()
        assert (text, error) == (PLAIN * 12, None)
        assert "stream" not in app.records("decision")[0]
        monkeypatch.setattr(journal, "append", full)
        with pytest.raises(openai.InternalServerError):
            await app.stream()


async def test_when_the_last_record_cannot_be_written_the_stream_ends_with_an_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer without a record, however much of it was shown."""
    async with streamed(home) as app:

        async def full(*_: object) -> None:
            raise JournalUnavailable("disk full")

        monkeypatch.setattr(app.runtime.pipeline._journal, "append", full)
        text, _, error = await app.read()
        assert text
        assert isinstance(error, openai.APIError)
        assert error.body == {**error.body, "type": "journal_unavailable"}  # type: ignore[dict-item]  # parsed JSON


async def test_answers_that_do_not_flow_are_streamed_as_ever(home: Path) -> None:
    """A local answer, in a use case that lets cloud answers flow: whole, verified, with its route."""
    async with served(home, usecases_dir=incremental(home.parent)) as app:
        body = {"model": "support", "messages": ASKED, "stream": True}
        answer = await app.client.post("/v1/chat/completions", json=body)
        assert answer.headers["x-switchyard-route"] == "local"
        assert answer.text.endswith("data: [DONE]\n\n")
