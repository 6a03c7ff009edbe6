"""The OpenAI-compatible API, through the official client, unchanged."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from tests.fakes import chat_reply
from tests.served import Served, served
from tests.services.api.test_decide import error_of

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is my card?"}]


@pytest.fixture
async def app(home: Path) -> AsyncIterator[Served]:
    async with served(home) as running:
        yield running


@pytest.fixture
async def client(app: Served) -> AsyncIterator[AsyncOpenAI]:
    """The official client with nothing but its address and key set."""
    transport = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app.api))
    async with AsyncOpenAI(
        base_url="http://switchyard/v1", api_key=app.key("caller"), http_client=transport, max_retries=0
    ) as made:
        yield made


async def test_the_official_client_gets_an_answer(client: AsyncOpenAI) -> None:
    """The model is the use case; route and receipt come in headers and in the body."""
    raw = await client.chat.completions.with_raw_response.create(model="support", messages=ASKED)  # type: ignore[arg-type]  # plain dicts on purpose
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "support"
    assert raw.headers["x-switchyard-route"] == "local"
    assert raw.headers["x-switchyard-receipt"].count(".") == 2
    provenance: Any = answer.model_extra["x_switchyard"]  # type: ignore[index]  # parsed JSON
    assert provenance["id"] == raw.headers["x-switchyard-decision-id"]
    assert provenance["receipt"] == raw.headers["x-switchyard-receipt"]
    assert provenance["output"]["reply"] == answer.choices[0].message.content


async def test_a_stream_is_the_same_answer_in_pieces(client: AsyncOpenAI) -> None:
    """Joined, the chunks are the answer; the last one before [DONE] has its provenance."""
    whole = await client.chat.completions.create(model="support", messages=ASKED)  # type: ignore[arg-type]  # plain dicts on purpose
    stream = await client.chat.completions.create(model="support", messages=ASKED, stream=True)  # type: ignore[arg-type]  # plain dicts on purpose
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 3
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    provenance: Any = chunks[-1].model_extra["x_switchyard"]  # type: ignore[index]  # parsed JSON
    assert provenance["route"] == "local"
    assert provenance["receipt"]


async def test_usage_is_there_for_clients_that_ask_for_it(client: AsyncOpenAI) -> None:
    """As OpenAI does it: a last chunk without choices."""
    stream = await client.chat.completions.create(
        model="support",
        messages=ASKED,
        stream=True,
        stream_options={"include_usage": True},  # type: ignore[arg-type]  # plain dicts on purpose
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 0


async def test_a_stream_ends_with_done(app: Served) -> None:
    """The raw form: events, then `data: [DONE]`."""
    answer = await app.client.post(
        "/v1/chat/completions", json={"model": "support", "messages": ASKED, "stream": True}
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: ") for event in events[:-1])


async def test_the_use_cases_are_the_models(client: AsyncOpenAI) -> None:
    """Listed and retrieved."""
    assert [model.id async for model in client.models.list()] == ["fraud", "support"]
    assert (await client.models.retrieve("support")).id == "support"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-4")


async def test_the_clients_own_errors_are_raised(app: Served, client: AsyncOpenAI) -> None:
    """Statuses map to the exceptions that applications already handle."""
    with pytest.raises(openai.NotFoundError, match="no such use case"):
        await client.chat.completions.create(model="gpt-4", messages=ASKED)  # type: ignore[arg-type]  # plain dicts on purpose
    with pytest.raises(openai.UnprocessableEntityError, match="logprobs: is not supported"):
        await client.chat.completions.create(model="support", messages=ASKED, logprobs=True)  # type: ignore[arg-type]  # plain dicts on purpose
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="sk-wrong").models.list()
    with pytest.raises(openai.PermissionDeniedError):
        await client.with_options(api_key=app.key("auditor")).chat.completions.create(
            model="support",
            messages=ASKED,  # type: ignore[arg-type]  # plain dicts on purpose
        )


async def test_a_full_rate_is_the_clients_own_error_with_the_time_to_wait(home: Path) -> None:
    """429 with Retry-After, which the client waits for by itself when it may retry."""
    async with served(home, requests_per_minute_per_key=1) as app:
        transport = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app.api))
        async with AsyncOpenAI(
            base_url="http://switchyard/v1", api_key=app.key("caller"), http_client=transport, max_retries=0
        ) as client:
            await client.models.list()
            with pytest.raises(openai.RateLimitError) as raised:
                await client.models.list()
        assert int(raised.value.response.headers["retry-after"]) >= 1


async def test_the_last_user_message_is_what_is_answered(app: Served) -> None:
    """Text parts are joined; earlier turns and other roles are not the input."""
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "ok"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Where is"}, {"type": "text", "text": "my card?"}],
        },
        {"role": "assistant", "content": "…"},
    ]
    answer = await app.client.post("/v1/chat/completions", json={"model": "support", "messages": messages})
    assert answer.status_code == 200
    assert app.predictor.seen[-1] == {"text": "Where is\nmy card?"}


async def test_residency_and_purpose_travel_in_metadata(app: Served) -> None:
    """So that access policy can be asked about an OpenAI call too; the user is a keyed hash at once."""
    body = {
        "model": "support", "messages": ASKED, "user": "anna@example.org",
        "metadata": {"residency": "EU", "purpose": "Service"},
    }  # fmt: skip
    answer = await app.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    assert {(q.residency, q.purpose) for q in app.policy.questions} == {("eu", "service")}
    record = await app.client.get(f"/v1/decisions/{answer.json()['x_switchyard']['id']}")
    assert record.json()["request"]["subject"].startswith("sub_")
    assert "anna" not in record.text


async def test_a_streamed_answer_is_reidentified_whole(home: Path) -> None:
    """A placeholder never stays in the stream, wherever chunk borders fall."""
    async with served(home, confidence=0.1) as app:
        reply = "x" * 20 + " <CARD_1> " + "y" * 30
        app.chat.reply = chat_reply(f'{{"reply": "{reply}", "intent": "out_of_scope"}}')
        body = {
            "model": "support",
            "messages": [{"role": "user", "content": "Block 4111 1111 1111 1111"}],
            "stream": True,
        }
        answer = await app.client.post("/v1/chat/completions", json=body)
        assert "CARD_1" not in answer.text.split("x_switchyard")[0]


BAD: list[tuple[Any, int, str]] = [
    ({"messages": ASKED}, 422, "model: is missing"),
    ({"model": "support"}, 422, "messages: is missing"),
    ({"model": 5, "messages": ASKED}, 422, "model: expected a string"),
    ({"model": "support", "messages": []}, 422, "messages: expected an array of 1 to"),
    ({"model": "support", "messages": "hi"}, 422, "messages: expected an array"),
    ({"model": "support", "messages": ["hi"]}, 422, "messages[0]: expected an object"),
    ({"model": "support", "messages": [{"role": "boss", "content": "hi"}]}, 422, "messages[0].role"),
    (
        {"model": "support", "messages": [{"role": "system", "content": "hi"}]},
        422,
        "at least one with role user",
    ),
    ({"model": "support", "messages": [{"role": "user"}]}, 422, "messages[0].content: expected a string"),
    (
        {"model": "support", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        422,
        "type text only",
    ),
    (
        {"model": "support", "messages": [{"role": "user", "content": ""}]},
        422,
        "input.text: expected at least 1",
    ),
    ({"model": "support", "messages": ASKED, "n": 2}, 422, "n: expected 1"),
    ({"model": "support", "messages": ASKED, "n": True}, 422, "n: expected 1"),
    ({"model": "support", "messages": ASKED, "stream": "yes"}, 422, "stream: expected true or false"),
    ({"model": "support", "messages": ASKED, "tools": [{}]}, 422, "tools: is not supported"),
    ({"model": "support", "messages": ASKED, "stop": ["."]}, 422, "stop: is not supported"),
    ({"model": "support", "messages": ASKED, "logprobs": 0}, 422, "logprobs: is not supported"),
    ({"model": "support", "messages": ASKED, "temperature": 9}, 422, "temperature: expected"),
    ({"model": "support", "messages": ASKED, "seed": "x"}, 422, "seed: expected a whole number"),
    ({"model": "support", "messages": ASKED, "max_tokens": 0}, 422, "max_tokens: expected"),
    (
        {"model": "support", "messages": ASKED, "response_format": "json"},
        422,
        "response_format: expected an object",
    ),
    (
        {"model": "support", "messages": ASKED, "response_format": {"type": "xml"}},
        422,
        "response_format.type: expected",
    ),
    ({"model": "support", "messages": ASKED, "s3cret": 1}, 422, "a parameter: is not supported"),
    (
        {"model": "support", "messages": ASKED, "metadata": {"x": "y"}},
        422,
        "metadata: expected an object with",
    ),
    ({"model": "support", "messages": ASKED, "stream_options": {"x": 1}}, 422, "stream_options: expected"),
    ({"model": "support", "messages": ASKED, "user": 5}, 422, "context.subject: expected a string"),
    (["hi"], 422, "body: expected an object"),
]


@pytest.mark.parametrize(("body", "status", "message"), BAD)
async def test_bad_chat_requests_are_refused_by_name(
    app: Served, body: Any, status: int, message: str
) -> None:
    """What cannot be honoured is refused, not ignored."""
    assert message in error_of(await app.client.post("/v1/chat/completions", json=body), status)
