"""The wire to a cloud endpoint: every way in which it fails has a short kind, and says nothing of content."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr

from services.errors import TargetFailed, TargetRefused
from services.prices import UNPRICED, Prices, Usage
from services.settings import EndpointSettings
from services.targets.endpoint import ChatEndpoint, _is_model
from tests.scripted_endpoint import ScriptedEndpoint

SECRET = "the prompt holds a secret"
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


@pytest.fixture(scope="module")
def scripted():
    with ScriptedEndpoint() as endpoint:
        yield endpoint


def endpoint_at(scripted):
    configured = EndpointSettings(
        base_url=scripted.url, api_key=SecretStr("sk-test"), model="scripted", region="eu"
    )
    return ChatEndpoint("primary", configured)


async def ask(scripted, timeout_s=5.0):
    endpoint = endpoint_at(scripted)
    try:
        return await endpoint.ask("You are a system.", SECRET, FORMAT, 50, timeout_s)
    finally:
        await endpoint.aclose()


async def test_a_good_answer_comes_back_with_its_usage_and_the_request_says_what_it_must(scripted):
    scripted.will("ok").requests.clear()
    reply = await ask(scripted)
    assert (reply.finish_reason, reply.refused, reply.usage) == ("stop", False, Usage(100, 10, 0))
    assert reply.content.startswith('{"reply"')
    (seen,) = scripted.requests
    sent = seen.json()
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("scripted", 0, 50)
    assert sent["response_format"] == FORMAT
    assert sent["messages"][1] == {"role": "user", "content": SECRET}
    assert seen.headers["authorization"] == "Bearer sk-test"
    assert seen.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        ("http_400", "http_400"), ("http_401", "http_401"), ("http_429", "http_429"),
        ("http_500", "http_500"), ("http_503", "http_503"), ("redirect", "redirect"),
        ("reset", "broken_connection"), ("cut_off", "broken_connection"), ("garbage", "broken_connection"),
        ("huge_body", "too_large"), ("gzip_bomb", "compressed"), ("truncated_json", "bad_response"),
        ("not_json", "bad_response"), ("not_a_completion", "bad_response"), ("refuse", "unreachable"),
    ],
)  # fmt: skip
async def test_each_failure_of_the_wire_has_a_kind_is_not_retried_and_holds_no_content(
    scripted, behaviour, kind, caplog
):
    scripted.will(behaviour).requests.clear()
    with caplog.at_level(logging.DEBUG), pytest.raises(TargetFailed) as raised:
        await ask(scripted)
    assert raised.value.kind == kind
    assert len(scripted.requests) == (0 if behaviour == "refuse" else 1)
    assert SECRET not in caplog.text + raised.value.message
    assert "sk-test" not in caplog.text


async def test_an_answer_of_another_model_than_was_asked_is_a_failure_of_unknown_cost(scripted):
    scripted.will("wrong_model")
    with pytest.raises(TargetFailed) as raised:
        await ask(scripted)
    assert (raised.value.kind, raised.value.cost_usd) == ("wrong_model", None)
    assert "another-model" not in raised.value.message, "a name that a stranger chose is not repeated"


@pytest.mark.parametrize(
    ("asked", "said", "right"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-2024-11-20", True),
        ("gpt-4", "gpt-4-0613", True),
        ("claude-x", "claude-x-20251101", True),
        ("llama3", "llama3:latest", True),
        ("m", None, True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gpt-4o", "gpt-4", False),
        ("m", 7, False),
        ("m", "", False),
    ],
)
def test_a_dated_version_is_the_model_and_a_sister_is_not(asked, said, right):
    assert _is_model(said, asked) is right


async def test_a_deployment_may_give_its_model_another_name(scripted):
    scripted.will("wrong_model")
    configured = EndpointSettings(base_url=scripted.url, model="scripted", echoes="another-model")
    endpoint = ChatEndpoint("primary", configured)
    try:
        assert (await endpoint.ask("s", "u", FORMAT, 50, 5.0)).finish_reason == "stop"
    finally:
        await endpoint.aclose()


@pytest.mark.parametrize("behaviour", ["hang", "hang_mid_body", "slow_drip"])
async def test_whatever_is_slow_ends_at_the_timeout_as_a_whole(scripted, behaviour):
    scripted.will(behaviour)
    started = time.monotonic()
    with pytest.raises(TargetFailed) as raised:
        await ask(scripted, timeout_s=0.4)
    assert time.monotonic() - started < 1.5
    assert raised.value.kind == "timeout"
    assert raised.value.cost_usd is None  # it may have been billed: nobody knows


async def test_a_content_filter_is_a_refusal_and_no_failure(scripted):
    scripted.will("filter_error")
    with pytest.raises(TargetRefused):
        await ask(scripted)
    for behaviour in ("refusal", "content_filter"):
        scripted.will(behaviour)
        assert (await ask(scripted)).refused


async def test_a_large_body_is_cut_off_early_and_not_held_in_memory(scripted):
    scripted.will("huge_body")
    started = time.monotonic()
    with pytest.raises(TargetFailed, match="larger"):
        await ask(scripted)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": 1}, {"prompt_tokens": "9"}, [1]]
)
async def test_usage_that_is_missing_or_makes_no_sense_is_unknown(scripted, usage):
    before, scripted.usage = scripted.usage, usage
    try:
        scripted.will("ok")
        assert (await ask(scripted)).usage is None
    finally:
        scripted.usage = before


async def test_redirects_are_not_followed_to_another_host(scripted):
    with ScriptedEndpoint() as other:
        scripted.will("redirect")
        with pytest.raises(TargetFailed, match="redirect"):
            await ask(scripted)
        assert other.requests == []


async def test_nothing_of_this_machines_environment_goes_along(scripted, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    scripted.will("ok").requests.clear()
    await ask(scripted)
    (seen,) = scripted.requests
    assert "secret" not in str(seen.headers)


def test_prices_that_nobody_set_are_unknown_and_a_set_zero_is_free():
    unset = EndpointSettings(base_url="http://127.0.0.1:9/v1", model="m")
    free = EndpointSettings(
        base_url="http://127.0.0.1:9/v1", model="m", usd_per_million_input=0, usd_per_million_output=0
    )
    assert ChatEndpoint("a", unset).prices == UNPRICED
    assert ChatEndpoint("a", free).prices == Prices(0, 0, None)


async def test_many_questions_at_once_share_one_endpoint(scripted):
    scripted.will("ok")
    endpoint = endpoint_at(scripted)
    replies = await asyncio.gather(*(endpoint.ask("s", "u", FORMAT, 50, 5.0) for _ in range(20)))
    await endpoint.aclose()
    assert all(reply.finish_reason == "stop" for reply in replies)


async def test_when_a_busy_endpoint_says_when_to_come_back_the_reason_says_so_too(scripted):
    scripted.will("http_429")
    with pytest.raises(TargetFailed) as raised:
        await ask(scripted)
    assert (raised.value.message, raised.value.retry_after_s) == ("answered 429: ask again in 7 s", 7.0)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "low_s", "high_s"),
    [
        ("7", 7, 7),
        ("7.5", 7.5, 7.5),
        ("0", 0, 0),
        ("in two minutes", 60, 120),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("soon", 60, 60),
        ("-1", 60, 60),
        ("9" * 40, 60, 60),
    ],
)
async def test_when_to_come_back_is_understood_in_each_form(scripted, status, said, low_s, high_s):
    if said == "in two minutes":
        said = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    scripted.behave(f"told_{status}", status, said)
    scripted.will(f"told_{status}")
    with pytest.raises(TargetFailed) as raised:
        await ask(scripted)
    assert low_s <= raised.value.retry_after_s <= high_s
