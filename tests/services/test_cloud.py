"""The cloud target: what is sent, what is taken for an answer, what it cost, and what is final."""

import json
import time
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from services.errors import TargetFailed, TargetRefused
from services.prices import UNPRICED, Prices, Usage
from services.targets.answer_schema import load_answer_schema
from services.targets.chat import ChatReply
from services.targets.cloud import CloudTarget
from services.targets.prompt import load_prompt
from tests.fakes import FakeChat, chat_reply, envelope_of, support

USECASE = support()
PROMPT, SCHEMA = load_prompt(USECASE), load_answer_schema(USECASE)
GOOD = '{"reply": "An answer.", "intent": "card_arrival"}'


async def ask(chat, within_s=60.0):
    target = CloudTarget(chat, PROMPT, SCHEMA)
    return await target.answer(envelope_of(USECASE), USECASE, time.monotonic() + within_s)


def test_it_tells_policy_where_its_endpoint_stands():
    target = CloudTarget(FakeChat(name="eu", region="eu", attested=True), PROMPT, SCHEMA)
    assert (target.name, target.region, target.on_premises, target.attested) == (
        "cloud/eu",
        "eu",
        False,
        True,
    )
    assert target.versions == {"prompt": PROMPT.version}
    assert target.own_text is False


async def test_an_answer_in_the_schema_is_taken_with_its_cost():
    answer = await ask(FakeChat(reply=chat_reply(GOOD)))
    assert answer.output == {"reply": "An answer.", "intent": "card_arrival"}
    assert answer.cost_usd == pytest.approx((1000 * 1.0 + 100 * 2.0) / 1e6)
    assert answer.reason == "answered; cost 0.001200 USD"
    assert (answer.model, answer.confidence) == ("fake-model", None)


async def test_a_cost_that_nobody_can_know_is_said_to_be_unknown():
    without_usage = await ask(FakeChat(reply=ChatReply(GOOD, "stop", False, None)))
    assert without_usage.cost_usd is None
    assert "did not report its usage" in without_usage.reason
    unpriced = await ask(FakeChat(reply=chat_reply(GOOD), prices=UNPRICED))
    assert unpriced.cost_usd is None
    assert "has no price" in unpriced.reason


async def test_cached_tokens_have_their_own_price():
    reply = ChatReply(GOOD, "stop", False, Usage(1000, 100, 800))
    answer = await ask(FakeChat(reply=reply, prices=Prices.from_usd(1.0, 2.0, 0.5)))
    assert answer.cost_usd == pytest.approx((200 * 1.0 + 800 * 0.5 + 100 * 2.0) / 1e6)


@pytest.mark.parametrize(
    ("content", "finish", "kind"),
    [
        (GOOD, "length", "truncated"),
        (GOOD, "tool_calls", "unfinished"),
        (GOOD, "None", "unfinished"),
        (None, "stop", "empty"),
        ("", "stop", "bad_json"),
        ("Sure! " + GOOD, "stop", "bad_json"),
        ('{"reply": "x", "intent": NaN}', "stop", "bad_json"),
        ("[" * 100_000, "stop", "bad_json"),
        ('{"reply": "x", "reply": "y", "intent": "card_arrival"}', "stop", "bad_json"),
        ('["reply"]', "stop", "bad_schema"),
        ('{"reply": "x"}', "stop", "bad_schema"),
        ('{"reply": "x", "intent": "made_up"}', "stop", "bad_schema"),
        ('{"reply": "x", "intent": "card_arrival", "more": 1}', "stop", "bad_schema"),
        ('{"reply": 5, "intent": "card_arrival"}', "stop", "bad_schema"),
        ('{"reply": "%s", "intent": "card_arrival"}' % ("x" * 2001), "stop", "bad_schema"),
    ],
)
async def test_whatever_is_not_a_whole_answer_in_the_schema_is_a_failure_that_still_cost(
    content, finish, kind
):
    with pytest.raises(TargetFailed) as raised:
        await ask(FakeChat(reply=chat_reply(content, finish)))
    assert raised.value.kind == kind
    assert raised.value.cost_usd == pytest.approx(0.0012)


async def test_no_error_repeats_what_the_model_said():
    for content in ('{"SECRET": 1}', '{"reply": "SECRET", "intent": "SECRET"}', "SECRET"):
        with pytest.raises(TargetFailed) as raised:
            await ask(FakeChat(reply=chat_reply(content)))
        assert "SECRET" not in raised.value.message


async def test_a_refusal_is_final_and_its_cost_counts():
    with pytest.raises(TargetRefused) as raised:
        await ask(FakeChat(reply=chat_reply("I cannot help with that.", refused=True)))
    assert raised.value.cost_usd == pytest.approx(0.0012)


async def test_it_takes_the_smaller_of_the_use_cases_timeout_and_the_time_left():
    chat = FakeChat(reply=chat_reply(GOOD))
    await ask(chat, within_s=60)
    await ask(chat, within_s=2)
    assert chat.timeouts_s[0] == 8
    assert 1.5 < chat.timeouts_s[1] <= 2
    with pytest.raises(TargetFailed, match="no time"):
        await ask(chat, within_s=-1)
    assert len(chat.prompts) == 2


@pytest.mark.parametrize(
    ("reply", "problem"),
    [("x" * 2001, "characters"), ("half \ud83d", "Unicode")],
    ids=["longer than usecase.yaml allows", "half a surrogate pair"],
)
async def test_an_answer_that_breaks_the_output_contract_is_its_endpoints_failure(reply, problem):
    """Also where reply.schema.json would let it pass: so its breaker learns of it, and not only `verify`."""
    schema = replace(SCHEMA, validator=Draft202012Validator({"type": "object"}))
    target = CloudTarget(
        FakeChat(reply=chat_reply(json.dumps({"reply": reply, "intent": "card_arrival"}))), PROMPT, schema
    )
    with pytest.raises(TargetFailed, match=problem) as raised:
        await target.answer(envelope_of(USECASE), USECASE, time.monotonic() + 60)
    assert raised.value.kind == "bad_schema"
