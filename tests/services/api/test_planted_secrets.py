"""Secrets planted wherever a request can hold one are found in no sink: logs, errors, metrics, journal,
state, kept answers, shared counters, prompts. (Sinks that come with later steps join this walk.)"""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.served import Served, all_bytes, served
from tests.services.counting import REDIS_URL, need_redis

CARD = "4111 1111 1111 1111"
EMAIL = "anna.planted@example.org"
WORD = "PLANTEDhunter2secret99"
WORD_OF_LETTERS = "ines_planted_calder"
IBAN = "DE89370400440532013000"
PLANTED = (CARD, CARD.replace(" ", ""), EMAIL, "anna.planted", WORD, WORD.lower(), WORD_OF_LETTERS, IBAN)
CHAT = [{"role": "user", "content": "hello"}]
TEXT = f"Card {CARD}, mail {EMAIL}."
REDIS = f"{REDIS_URL}/11"  # a database of its own, to be read as a whole


@pytest.fixture
async def app(home: Path) -> AsyncIterator[Served]:
    async with served(home, confidence=0.1) as running:
        yield running


def found_in(haystack: str | bytes) -> list[str]:
    """Which planted secrets it holds, however escaped."""
    text = haystack.decode("utf-8", "replace") if isinstance(haystack, bytes) else haystack
    return [secret for secret in PLANTED if secret in text]


GOOD = {"use_case": "support", "input": {"text": "hello"}}
REFUSED: list[dict[str, Any]] = [
    {"json": {**GOOD, "use_case": WORD}},
    {"json": {**GOOD, WORD: 1}},
    {"json": {**GOOD, WORD_OF_LETTERS: 1}},
    {"json": {**GOOD, "input": {"text": "hi", WORD_OF_LETTERS: 1}}},
    {"json": {**GOOD, "context": {WORD_OF_LETTERS: 1}}},
    {"json": {**GOOD, EMAIL: {CARD: WORD}}},
    {"json": {**GOOD, "input": {"text": [TEXT, WORD]}}},
    {"json": {**GOOD, "input": {"text": "hi", WORD: TEXT}}},
    {"json": {**GOOD, "input": {"text": (TEXT + WORD) * 100}}},
    {"json": {**GOOD, "input": TEXT + WORD}},
    {"json": {**GOOD, "context": {"residency": WORD + CARD}}},
    {"json": {**GOOD, "context": {"purpose": TEXT}}},
    {"json": {**GOOD, "context": {"purpose": WORD}}},
    {"json": {**GOOD, "context": {"purpose": WORD_OF_LETTERS}}},
    {"json": {**GOOD, "context": {"residency": IBAN}}},
    {"json": {**GOOD, "context": {"residency": WORD_OF_LETTERS}}},
    {
        "url": "/v1/chat/completions",
        "json": {"model": "support", "messages": CHAT, "metadata": {"purpose": WORD_OF_LETTERS}},
    },
    {
        "url": "/v1/chat/completions",
        "json": {"model": "support", "messages": CHAT, "metadata": {"residency": WORD}},
    },
    {"json": {**GOOD, "context": {"max_latency_ms": WORD}}},
    {"json": {**GOOD, "context": {WORD: WORD}}},
    {"content": f'{{"use_case": "{WORD}{CARD}"'.encode(), "headers": {"content-type": "application/json"}},
    {"content": (TEXT + WORD).encode(), "headers": {"content-type": f"text/{WORD}"}},
    {"content": WORD.encode() + b"\xff" + TEXT.encode(), "headers": {"content-type": "application/json"}},
    {"json": GOOD, "headers": {"authorization": f"Bearer {WORD}"}},
    {"json": GOOD, "headers": {"authorization": f"{WORD} {EMAIL}"}},
    {"json": GOOD, "headers": {"idempotency-key": f"{WORD} {EMAIL}"}},
    {"json": GOOD, "url": f"/v1/{WORD}/{EMAIL}"},
    {"json": GOOD, "url": f"/v1/decide/{WORD}?card={CARD}"},
    {"method": "GET", "url": f"/v1/decisions/{WORD}"},
    {"method": "GET", "url": f"/v1/models/{EMAIL}"},
    {"method": f"{WORD.upper()}", "url": "/v1/decide"},
    {"url": "/v1/chat/completions", "json": {"model": WORD, "messages": [{"role": "user", "content": TEXT}]}},
    {
        "url": "/v1/chat/completions",
        "json": {"model": "support", "messages": [{"role": WORD, "content": TEXT}]},
    },
    {"url": "/v1/chat/completions", "json": {"model": "support", "messages": [], WORD: TEXT}},
    {"url": "/v1/receipts/verify", "json": {"receipt": WORD + TEXT}},
    {"url": "/v1/receipts/verify", "json": {"receipt": WORD, WORD: 1}},
]


async def test_a_refused_request_leaves_nothing_of_it_anywhere(
    app: Served, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in its own error, and not in any sink afterwards."""
    caplog.set_level(logging.DEBUG)
    for request in REFUSED:
        sent = {"method": "POST", "url": "/v1/decide", **request}
        answer = await app.client.request(**sent)
        assert 400 <= answer.status_code < 500 or answer.json().get("valid") is False, sent
        assert not found_in(answer.text), sent
        assert not found_in(str(answer.headers)), sent
    assert not found_in("\n".join(_our_logs(caplog)))
    assert not found_in((await app.client.get("/metrics")).text)
    assert not found_in(all_bytes(home))
    assert not app.chat.prompts


async def test_an_answered_request_leaves_only_its_redacted_form(
    app: Served, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Personal data in every field that takes text: journal, state, prompt, logs and metrics have none."""
    caplog.set_level(logging.DEBUG)
    body = {
        "use_case": "support",
        "input": {"text": TEXT},
        "context": {"subject": EMAIL, "session": CARD},
    }
    headers = {"idempotency-key": "k-1", "traceparent": WORD, "x-forwarded-for": EMAIL, "user-agent": CARD}
    answer = await app.client.post(f"/v1/decide?q={WORD}", json=body, headers=headers)
    assert answer.status_code == 200
    chat = {"model": "support", "messages": [{"role": "user", "content": TEXT}], "user": EMAIL}
    assert (await app.client.post("/v1/chat/completions", json=chat)).status_code == 200
    app.predictor.__init__(app.predictor.labels, app.predictor.labels[0], error=ValueError(TEXT))  # type: ignore[misc]  # breaks
    app.chat.error = ValueError(TEXT)
    broken = await app.client.post("/v1/decide", json=body)
    assert broken.json()["route"] == "safe_default"
    assert not found_in(broken.text)
    assert not found_in("\n".join(_our_logs(caplog)))
    assert not found_in((await app.client.get("/metrics")).text)
    assert not found_in(all_bytes(home))
    assert not found_in("".join(sum(app.chat.prompts, ())))
    assert "<CARD_1>" in app.chat.prompts[0][1]


EVERYWHERE: list[dict[str, Any]] = [
    {"json": {**GOOD, "input": {"text": TEXT}}},
    {"json": {**GOOD, "input": {"text": TEXT}, "context": {"subject": EMAIL, "session": CARD}}},
    {"json": {**GOOD, "input": {"text": TEXT}}, "url": f"/v1/decide?card={CARD}&{WORD}={EMAIL}"},
    {"json": {**GOOD, "input": {"text": TEXT}}, "headers": {"idempotency-key": EMAIL, "user-agent": CARD}},
    {"json": {**GOOD, "input": {"text": TEXT}}, "headers": {"idempotency-key": EMAIL, WORD: CARD}},
    {"json": {**GOOD, "input": {"text": TEXT}}, "headers": {"traceparent": WORD, "x-request-id": WORD}},
    {"json": {**GOOD, "input": {"text": TEXT}}, "headers": {"forwarded": EMAIL, "cookie": f"{WORD}={CARD}"}},
    {
        "url": "/v1/chat/completions",
        "json": {"model": "support", "messages": [{"role": "user", "content": TEXT}], "user": EMAIL},
    },
    *REFUSED,
]


async def _all_of(client: Redis) -> bytes:
    """Every name and every value."""
    found = b""
    read = {b"string": client.get, b"hash": client.hgetall, b"set": client.smembers}
    async for key in client.scan_iter(count=1000):
        kind = await client.type(key)
        value = await read[kind](key) if kind in read else await client.zrange(key, 0, -1, withscores=True)
        found += key + b"=" + repr(value).encode() + b"\n"
    return found


async def test_one_walk_through_all_sinks(
    home: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every field, JSON key, header, path and query; answered, repeated, refused and broken requests. Sinks:
    prompt, log, standard output, error, metric labels, readiness, journal, receipts, state, kept answers,
    counters of this machine and in Redis."""
    need_redis()
    caplog.set_level(logging.DEBUG)
    shared = Redis.from_url(REDIS)
    settings = {"redis_url": REDIS, "failed_keys_per_minute": 10_000}
    try:
        async with served(home, confidence=0.1, **settings) as app:
            for broken in (False, True):
                app.chat.error = ValueError(TEXT) if broken else None
                for request in EVERYWHERE:
                    answer = await app.client.request(**{"method": "POST", "url": "/v1/decide", **request})
                    assert answer.status_code < 500
                    assert answer.status_code == 200 or not found_in(answer.text), request
                    assert not found_in(str(answer.headers)), request
            sinks = {
                "metrics": (await app.client.get("/metrics")).text,
                "readiness": repr(app.runtime.readiness()),
                "prompts": repr(app.chat.prompts),
                "redis": await _all_of(shared),
            }
        sinks["files"] = all_bytes(home)
        sinks["logs"] = "\n".join(_our_logs(caplog))
        sinks["output"] = "".join(capfd.readouterr())
    finally:
        async for key in shared.scan_iter(match="switchyard:*"):
            await shared.delete(key)
        await shared.aclose()
    assert not {name: found for name, sink in sinks.items() if (found := found_in(sink))}
    assert "<CARD_1>" in sinks["prompts"]
    assert b"addr_" in sinks["redis"]
    assert b"127.0.0.1" not in sinks["redis"]
    assert b"<CARD_1>" in sinks["files"]


def _our_logs(caplog: pytest.LogCaptureFixture) -> list[str]:
    """All but the test's own HTTP client, which logs addresses."""
    texts = []
    for record in caplog.records:
        if not record.name.startswith(("httpx", "httpcore")):
            texts.append(record.getMessage())
            if record.exc_info:
                texts.append(logging.Formatter().formatException(record.exc_info))
    return texts
