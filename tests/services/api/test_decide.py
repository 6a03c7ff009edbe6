"""POST /v1/decide and its neighbours, in process: every kind of bad input, and who may see what."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services import keys
from services.errors import StateUnavailable
from tests.fakes import chat_reply
from tests.served import Served, served

GOOD: dict[str, Any] = {"use_case": "support", "input": {"text": "Where is my card?"}}


@pytest.fixture
async def app(home: Path) -> AsyncIterator[Served]:
    async with served(home) as running:
        yield running


def error_of(answer: httpx.Response, status: int) -> str:
    """The message of a well-formed error with that status."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"type", "message", "request_id"}
    assert body["error"]["request_id"] == answer.headers["x-request-id"]
    return str(body["error"]["message"])


async def test_an_answer_says_what_it_is_and_why(app: Served) -> None:
    """All that the contract names, and a receipt that verifies."""
    answer = (await app.decide()).json()
    assert set(answer) == {
        "id", "use_case", "output", "route", "confidence", "degraded", "reasons", "review_id", "versions",
        "receipt",
    }  # fmt: skip
    assert (answer["route"], answer["degraded"], answer["confidence"]) == ("local", False, 0.99)
    assert any("0.99 is at least 0.8" in reason for reason in answer["reasons"])
    verdict = await app.client.post("/v1/receipts/verify", json={"receipt": answer["receipt"]})
    assert verdict.json()["valid"] is True
    assert verdict.json()["claims"]["id"] == answer["id"]


async def test_the_model_sees_placeholders_and_the_caller_sees_originals(app: Served) -> None:
    """Redacted once at the door; re-identified in the reply to the same caller only."""
    app.predictor.__init__(app.predictor.labels, app.predictor.labels[0], 0.1)  # type: ignore[misc]  # unsure
    app.chat.reply = chat_reply('{"reply": "Card <CARD_1> is blocked.", "intent": "out_of_scope"}')
    answer = (await app.decide("Block 4111 1111 1111 1111 now")).json()
    assert answer["output"]["reply"] == "Card 4111 1111 1111 1111 is blocked."
    assert app.predictor.seen[-1] == {"text": "Block <CARD_1> now"}
    assert "4111" not in "".join(app.chat.prompts[-1])


BAD_BODIES: list[tuple[Any, int, str]] = [
    ({**GOOD, "use_case": "nope"}, 404, "use_case: no such use case; served here: fraud, support"),
    ({**GOOD, "use_case": 7}, 422, "use_case: expected a string, got a number"),
    ({"input": GOOD["input"]}, 422, "use_case: is missing"),
    ({"use_case": "support"}, 422, "input: is missing"),
    ({**GOOD, "surprise": 1}, 422, "body: a field is not known"),
    ({**GOOD, "input": {}}, 422, "input.text: is missing"),
    ({**GOOD, "input": "hello"}, 422, "input: expected an object, got a string"),
    ({**GOOD, "input": {"text": 5}}, 422, "input.text: expected a string, got a number"),
    ({**GOOD, "input": {"text": None}}, 422, "input.text: expected a string, got null"),
    ({**GOOD, "input": {"text": ""}}, 422, "input.text: expected at least 1"),
    ({**GOOD, "input": {"text": "x" * 2001}}, 422, "input.text: expected at most 2000 characters, got 2001"),
    ({**GOOD, "input": {"text": "hi", "extra": 1}}, 422, "input: a field is not known; allowed: text"),
    ({**GOOD, "context": 5}, 422, "context: expected an object"),
    ({**GOOD, "context": {"colour": "red"}}, 422, "context: a field is not known"),
    ({**GOOD, "context": {"subject": 5}}, 422, "context.subject: expected a string"),
    ({**GOOD, "context": {"max_latency_ms": 0}}, 422, "context.max_latency_ms: expected at least 1"),
    ({**GOOD, "context": {"max_latency_ms": "1"}}, 422, "context.max_latency_ms: expected a whole number"),
    ({**GOOD, "context": {"max_cost_usd": -1}}, 422, "context.max_cost_usd: expected at least 0"),
    ({**GOOD, "context": {"residency": "the moon!"}}, 422, "context.residency: expected a country's"),
    ([GOOD], 422, "body: expected an object, got an array"),
    ("text", 422, "body: expected an object, got a string"),
]


@pytest.mark.parametrize(("body", "status", "message"), BAD_BODIES)
async def test_bad_content_is_refused_by_name(app: Served, body: Any, status: int, message: str) -> None:
    """The right status, and the field in the message."""
    assert message in error_of(await app.client.post("/v1/decide", json=body), status)


RAW: list[tuple[bytes, dict[str, str], int, str]] = [
    (b"{", {}, 400, "body: is not JSON"),
    (b'{"use_case": "support", "input": {"text": "\xff"}}', {}, 400, "body: is not UTF-8"),
    (b"[" * 100 + b"]" * 100, {}, 400, "nested deeper"),
    (b'{"use_case":"support","use_case":"support","input":{"text":"hi"}}', {}, 400, "same key twice"),
    (b"x" * (10 * 1024 * 1024), {}, 413, "expected at most 1048576 bytes"),
    (json.dumps(GOOD).encode(), {"content-type": "text/plain"}, 415, "expected application/json"),
    (b"text=hello", {"content-type": "application/x-www-form-urlencoded"}, 415, "expected application/json"),
    (json.dumps(GOOD).encode(), {"content-encoding": "gzip"}, 415, "uncompressed"),
    (json.dumps(GOOD).encode(), {"authorization": ""}, 401, "an API key is needed"),
    (json.dumps(GOOD).encode(), {"authorization": "Bearer wrong"}, 401, "not valid"),
    (b"x" * (10 * 1024 * 1024), {"authorization": "Bearer wrong"}, 401, "not valid"),
]


@pytest.mark.parametrize(("body", "headers", "status", "message"), RAW)
async def test_bad_bytes_and_headers_are_refused(
    app: Served, body: bytes, headers: dict[str, str], status: int, message: str
) -> None:
    """Unreadable, too large, of the wrong kind, or from nobody."""
    sent = {"content-type": "application/json", **headers}
    assert message in error_of(await app.client.post("/v1/decide", content=body, headers=sent), status)


async def test_a_body_without_a_length_is_cut_off_while_it_is_read(app: Served) -> None:
    """A chunked body of 10 MB is never held, and its sender still gets the error."""
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(160):
            taken += 1
            yield b"x" * 65536

    answer = await app.client.post(
        "/v1/decide", content=endless(), headers={"content-type": "application/json"}
    )
    error_of(answer, 413)
    assert taken == 160, "the rest is read and dropped, so that the caller sees our answer"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nope", 404),
        ("POST", "/v1/", 404),
        ("GET", "/v1/decide", 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/decisions/", 404),
        ("GET", "/v1/decisions/a/b", 404),
        ("GET", "/v1/decisions/" + "0" * 32, 404),
        ("GET", "/v1/models/nope", 404),
    ],
)
async def test_unknown_paths_and_methods_get_the_same_kind_of_error(
    app: Served, method: str, path: str, status: int
) -> None:
    """No path of ours answers with anything else."""
    answer = await app.client.request(method, path)
    error_of(answer, status)
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/v1/decide", "/v1/chat/completions", "/v1/receipts/verify", "/v1/models"])
async def test_every_call_but_the_public_keys_needs_a_key(app: Served, path: str) -> None:
    """401 with the scheme to use."""
    method = "GET" if path.endswith("models") else "POST"
    answer = await app.client.request(method, path, headers={"authorization": ""})
    error_of(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (await app.client.get("/.well-known/jwks.json", headers={"authorization": ""})).json()["keys"]


async def test_a_decision_is_shown_to_auditors_of_its_own_tenant_only(app: Served) -> None:
    """Another tenant's auditor learns nothing, not even that it exists."""
    made = (await app.decide("My card 4111 1111 1111 1111 is lost")).json()["id"]
    record = (await app.client.get(f"/v1/decisions/{made}")).json()
    assert record["request"]["fields"] == {"text": "My card <CARD_1> is lost"}
    as_caller = {"authorization": f"Bearer {app.key('caller')}"}
    error_of(await app.client.get(f"/v1/decisions/{made}", headers=as_caller), 403)
    elsewhere = {"authorization": f"Bearer {app.key('auditor', tenant='globex')}"}
    error_of(await app.client.get(f"/v1/decisions/{made}", headers=elsewhere), 404)


async def test_a_repeated_request_gets_the_first_answer_again(app: Served) -> None:
    """Same id, same receipt, same originals; the model is asked once, the journal holds one record."""
    app.predictor.__init__(app.predictor.labels, app.predictor.labels[0], 0.1)  # type: ignore[misc]  # unsure
    app.chat.reply = chat_reply('{"reply": "Card <CARD_1> is blocked.", "intent": "out_of_scope"}')
    body = {**GOOD, "input": {"text": "Block 4111 1111 1111 1111 now"}}
    headers = {"idempotency-key": "order-77"}
    first = await app.client.post("/v1/decide", json=body, headers=headers)
    again = await app.client.post("/v1/decide", json=body, headers=headers)
    assert again.json() == first.json()
    assert "4111 1111 1111 1111" in again.json()["output"]["reply"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len(app.chat.prompts) == 1
    stored = b"".join(file.read_bytes() for file in app.runtime.settings.home.glob("state.db*"))
    # the whole number: four digits alone turn up in hex digests and sealed bytes by chance
    assert b"4111 1111 1111 1111" not in stored
    assert b"4111111111111111" not in stored
    other = {**body, "input": {"text": "Block something else"}}
    assert "another body" in error_of(await app.client.post("/v1/decide", json=other, headers=headers), 422)


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "with space", "snowman-\u2603"])
async def test_an_unusable_idempotency_key_is_refused(app: Served, key: str) -> None:
    """And not echoed."""
    headers = [(b"idempotency-key", key.encode())]
    message = error_of(await app.client.post("/v1/decide", json=GOOD, headers=headers), 422)
    assert message == "idempotency-key: expected 1 to 200 visible ASCII characters"


async def test_two_requests_at_once_with_one_idempotency_key_are_answered_once(app: Served) -> None:
    """The second is told to come back, and then gets the first one's answer."""
    app.predictor.__init__(app.predictor.labels, app.predictor.labels[0], 0.1)  # type: ignore[misc]  # unsure
    asked, release = asyncio.Event(), asyncio.Event()
    ask = app.chat.ask

    async def slow(*args: Any) -> Any:
        asked.set()
        await release.wait()
        return await ask(*args)

    app.chat.ask = slow  # type: ignore[method-assign]  # one slow answer
    headers = {"idempotency-key": "k"}
    first = asyncio.create_task(app.client.post("/v1/decide", json=GOOD, headers=headers))
    await asked.wait()
    conflict = await app.client.post("/v1/decide", json=GOOD, headers=headers)
    error_of(conflict, 409)
    assert conflict.headers["retry-after"] == "1"
    release.set()
    made = (await first).json()["id"]
    assert (await app.client.post("/v1/decide", json=GOOD, headers=headers)).json()["id"] == made


async def test_a_rate_that_is_used_up_says_when_to_come_back(home: Path) -> None:
    """429 with Retry-After."""
    async with served(home, requests_per_minute_per_key=2) as app:
        assert [(await app.decide()).status_code for _ in range(3)] == [200, 200, 429]
        refused = await app.decide()
        error_of(refused, 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 120


async def test_when_all_places_are_taken_the_next_is_told_to_come_back(home: Path) -> None:
    """Bounded work, bounded queue."""
    async with served(home, confidence=0.1, max_concurrency=1, max_queue=0) as app:
        asked, release = asyncio.Event(), asyncio.Event()
        ask = app.chat.ask

        async def slow(*args: Any) -> Any:
            asked.set()
            await release.wait()
            return await ask(*args)

        app.chat.ask = slow  # type: ignore[method-assign]  # holds the one place
        first = asyncio.create_task(app.decide())
        await asked.wait()
        error_of(await app.decide(), 429)
        release.set()
        assert (await first).status_code == 200


async def test_the_callers_own_deadline_holds(home: Path) -> None:
    """A slow endpoint is left when `max_latency_ms` is over; the answer is degraded, not late."""
    async with served(home, confidence=0.1) as app:

        async def never(*args: Any) -> Any:
            await asyncio.Event().wait()

        app.chat.ask = never  # type: ignore[method-assign]  # an endpoint that hangs
        started = time.perf_counter()
        answer = (await app.decide(context={"max_latency_ms": 50})).json()
        assert time.perf_counter() - started < 2
        assert (answer["route"], answer["degraded"]) == ("safe_default", True)


async def test_a_record_that_cannot_be_written_means_no_answer(app: Served, home: Path) -> None:
    """503, and nothing of the answer; readiness says why."""
    (home / "journal").write_text("a file where the journal's folder should be")
    message = error_of(await app.decide(), 503)
    assert "record could not be written" in message
    status, body = app.api.ready()
    assert status == 503
    assert body["reasons"][0].startswith("journal: ")


async def test_keys_that_cannot_be_checked_are_a_503(app: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither let in nor called wrong."""

    def down(*_: object) -> Any:
        raise StateUnavailable("the state database cannot be read")

    monkeypatch.setattr("services.state.api_keys.ApiKeys.find", down)
    fresh = {"authorization": f"Bearer {keys.issue('acme', ['caller'], keys.utc_now())[0]}"}
    assert "state database" in error_of(await app.client.post("/v1/decide", json=GOOD, headers=fresh), 503)


async def test_a_fault_of_ours_is_a_500_that_tells_nothing(
    app: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has class, place and request id; the exception's text, which may hold input, is nowhere."""

    async def broken(*_: object) -> Any:
        raise ValueError("PLANTED-SECRET 4111111111111111")

    monkeypatch.setattr(app.runtime.pipeline, "decide", broken)
    answer = await app.decide("PLANTED-SECRET 4111111111111111")
    message = error_of(answer, 500)
    assert "PLANTED" not in message
    assert answer.headers["x-request-id"] in caplog.text
    assert "ValueError" in caplog.text
    assert "test_decide.py" in caplog.text
    assert "PLANTED" not in caplog.text


async def test_a_receipt_is_checked_against_its_answer(app: Served) -> None:
    """An altered receipt, and one used for another answer, are refused with the reason."""
    answer = (await app.decide()).json()
    check = {"receipt": answer["receipt"], "id": answer["id"], "output": answer["output"]}
    assert (await app.client.post("/v1/receipts/verify", json=check)).json()["valid"] is True
    for change, why in (
        ({"receipt": answer["receipt"][:-4] + "AAAA"}, "altered"),
        ({"receipt": "a.b.c"}, "base64url|JSON"),
        ({"id": "0" * 32}, "second time"),
        ({"output": {"reply": "something else"}}, "not the receipt of this answer"),
    ):
        verdict = (await app.client.post("/v1/receipts/verify", json={**check, **change})).json()
        assert verdict["valid"] is False
        assert re.search(why, verdict["reason"])
        assert verdict["claims"] is None
    error_of(await app.client.post("/v1/receipts/verify", json={}), 422)
    error_of(await app.client.post("/v1/receipts/verify", json={**check, "extra": 1}), 422)
