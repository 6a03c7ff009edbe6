"""`response_format`: the answer as JSON that the caller's schema accepts, or no answer."""

import json
from collections.abc import AsyncIterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from services.api.json_schema import MAX_DEPTH, MAX_PARTS
from services.api.response_format import read_response_format
from services.errors import InputError
from services.journal_reader import find_decision, journal_files
from tests.fakes import chat_reply, support
from tests.served import Served, served
from tests.services.api.test_decide import error_of

USECASE = support()
ASKED: Any = [{"role": "user", "content": "Where is my card?"}]
LABEL = USECASE.labels[0]


def asked_for(schema: object, **more: object) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


def body(schema: object, text: str = "Where is my card?", **more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": text}]
    return {"model": "support", "messages": messages, "response_format": asked_for(schema), **more}


def of_intent(**intent: object) -> dict[str, object]:
    return {"type": "object", "properties": {"intent": intent}, "required": ["intent"]}


@pytest.fixture
async def app(home: Path) -> AsyncIterator[Served]:
    async with served(home) as running:
        yield running


@pytest.fixture
async def client(app: Served) -> AsyncIterator[AsyncOpenAI]:
    transport = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app.api))
    async with AsyncOpenAI(
        base_url="http://switchyard/v1", api_key=app.key("caller"), http_client=transport, max_retries=0
    ) as made:
        yield made


Intent = Enum("Intent", {name: name for name in USECASE.allowed("intent")}, type=str)


class Whole(BaseModel):
    """What the use case answers."""

    reply: str = Field(min_length=1, description="for the customer")
    intent: Intent  # type: ignore[valid-type]  # made from the list of labels


class Part(BaseModel):
    intent: str | None


async def test_the_clients_parse_gives_the_models_of_the_application(client: AsyncOpenAI) -> None:
    """Enums, $defs and unions as pydantic writes them; fields that a model leaves out are left out."""
    whole = await client.chat.completions.parse(model="support", messages=ASKED, response_format=Whole)
    answer = whole.choices[0].message.parsed
    assert answer is not None
    assert answer.intent.value == LABEL  # type: ignore[attr-defined]  # an enum made at run time
    assert answer.reply
    part = await client.chat.completions.parse(model="support", messages=ASKED, response_format=Part)
    assert json.loads(part.choices[0].message.content or "") == {"intent": LABEL}


async def test_a_structured_stream_is_the_same_json_in_pieces(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(
        model="support", messages=ASKED, response_format=Whole
    ) as stream:
        final = await stream.get_final_completion()
    parsed = final.choices[0].message.parsed
    assert parsed is not None
    assert parsed.intent.value == LABEL  # type: ignore[attr-defined]  # an enum made at run time


async def test_json_object_is_the_whole_output_and_text_is_as_ever(app: Served) -> None:
    for type_, read in (("json_object", json.loads), ("text", str)):
        sent = {"model": "support", "messages": ASKED, "response_format": {"type": type_}}
        answer = (await app.client.post("/v1/chat/completions", json=sent)).json()
        output = answer["x_switchyard"]["output"]
        expected = output if type_ == "json_object" else output["reply"]
        assert read(answer["choices"][0]["message"]["content"]) == expected


async def test_an_answer_that_breaks_the_schema_is_refused_and_the_plan_goes_on(app: Served) -> None:
    """The local answer does not fit, the cloud's does: recorded as a validator like all others."""
    app.chat.reply = chat_reply('{"reply": "Short.", "intent": "out_of_scope"}')
    schema = {"type": "object", "properties": {"reply": {"type": "string", "maxLength": 10}}}
    answer = (await app.client.post("/v1/chat/completions", json=body(schema))).json()
    assert json.loads(answer["choices"][0]["message"]["content"])["reply"] == "Short."
    told = answer["x_switchyard"]
    assert told["route"] == "cloud/primary"
    refused = "response_format: field 'reply' breaks the caller's schema at 'maxLength'"
    assert any(reason.startswith("local: ") and refused in reason for reason in told["reasons"])
    entry = find_decision(journal_files(app.runtime.settings.journal_dir), told["id"])
    assert entry is not None
    assert "response_format" in entry.record["validators"]


async def test_when_no_answer_fits_the_caller_gets_an_error_of_their_own_and_a_record(app: Served) -> None:
    """Not even the safe default is sent as if it were right. A 422, so that no client tries it again."""
    schema = of_intent(const=USECASE.labels[5])
    answer = await app.client.post("/v1/chat/completions", json=body(schema))
    assert error_of(answer, 422).startswith("response_format: no answer of this use case meets it")
    assert answer.json()["error"]["type"] == "demand_unmet"
    lines = [
        line
        for file in app.runtime.settings.journal_dir.glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert any('"route":null' in line for line in lines)


async def test_what_is_checked_is_what_is_sent(home: Path) -> None:
    """Re-identified, the answer is longer than its redacted form: the schema is held against what leaves."""
    async with served(home, confidence=0.1) as app:
        app.chat.reply = chat_reply('{"reply": "<CARD_1>", "intent": "out_of_scope"}')
        for bound, route in ((12, None), (19, "cloud/primary")):
            schema = {"type": "object", "properties": {"reply": {"maxLength": bound}}}
            answer = await app.client.post(
                "/v1/chat/completions", json=body(schema, "Block 4111 1111 1111 1111")
            )
            if route is None:
                error_of(answer, 422)
            else:
                assert json.loads(answer.json()["choices"][0]["message"]["content"])["reply"].startswith(
                    "4111"
                )


async def test_nothing_of_a_schema_reaches_prompt_or_journal(home: Path) -> None:
    """It is the caller's own text, and may hold anything."""
    async with served(home, confidence=0.1) as app:
        schema = {
            "type": "object", "title": "PLANTED", "$comment": "PLANTED", "$defs": {"PLANTED": {}},
            "properties": {"reply": {"anyOf": [{"const": "PLANTED"}, {"type": "string"}]}},
        }  # fmt: skip
        assert (await app.client.post("/v1/chat/completions", json=body(schema))).status_code == 200
        files = [file.read_text() for file in app.runtime.settings.journal_dir.glob("*.jsonl")]
        assert "PLANTED" not in "".join([*files, *map("".join, app.chat.prompts)])


async def test_max_tokens_bounds_what_a_model_writes_and_no_approved_text(home: Path) -> None:
    """An answer of more words than tokens is refused, not cut; the safe default is the team's own."""
    async with served(home, confidence=0.1) as app:
        app.chat.reply = chat_reply('{"reply": "one two three four", "intent": "out_of_scope"}')
        for tokens, route in ((3, "safe_default"), (4, "cloud/primary")):
            sent = {"model": "support", "messages": ASKED, "max_tokens": 99, "max_completion_tokens": tokens}
            answer = (await app.client.post("/v1/chat/completions", json=sent)).json()
            assert answer["x_switchyard"]["route"] == route


async def test_parameters_that_mean_nothing_here_are_named_and_change_nothing(client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="support", messages=ASKED, temperature=0.2, top_p=1, seed=7, tools=[], tool_choice="none",
        presence_penalty=0.5, logprobs=False, stop=[], max_tokens=500,
    )  # fmt: skip
    assert raw.headers["x-switchyard-ignored"] == "presence_penalty, seed, temperature, top_p"
    plain = await client.chat.completions.with_raw_response.create(model="support", messages=ASKED)
    assert "x-switchyard-ignored" not in plain.headers


DEEP: dict[str, object] = {"type": "string"}
for _ in range(MAX_DEPTH):
    DEEP = {"anyOf": [DEEP]}
CHAIN = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(500)}
BOMB = {"d0": {"type": "string"}} | {
    f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n - 1}"}] * 2} for n in range(1, 20)
}
UNFIT: list[tuple[object, str]] = [
    ({"type": "array"}, "expected a schema of type object"),
    (True, "expected a schema of type object"),
    ([], "expected each subschema to be an object or a boolean"),
    ({"type": "object", "required": ["price"]}, "requires a field that this use case does not answer: reply"),
    ({"type": "object", "required": ["S3 cret!"]}, "requires a field that this use case does not answer"),
    ({"type": "object", "properties": {"price": {}}, "additionalProperties": False}, "names no field that"),
    (of_intent(type="integer"), "properties.intent: no value of this field can satisfy it; it is a s"),
    (of_intent(enum=["SECRET"]), "properties.intent: no value"),
    (of_intent(const=3), "properties.intent: no value"),
    (of_intent(maxLength=2), "properties.intent: no value"),
    (of_intent(allOf=[{"type": "string"}, {"type": "null"}]), "properties.intent: no value"),
    ({"type": "object", "properties": {"reply": {"minLength": 2001}}}, "properties.reply: no value"),
    ({"type": "object", "properties": {"reply": False}}, "properties.reply: no value"),
    (
        {"type": "object", "properties": {"reply": {"allOf": [{"type": "string"}, {"type": "null"}]}}},
        "properties.reply: no value",
    ),
    (of_intent(pattern="(a+)+$"), "'pattern' is not supported here"),
    (of_intent(sEcReT=1), "a keyword of it is not supported here"),
    (of_intent(**{"$ref": "https://evil.example/x.json"}), "nothing is fetched"),
    (of_intent(**{"$ref": "#/properties/intent"}), "nothing is fetched"),
    (of_intent(**{"$ref": 5}), "expected a $ref to be a string"),
    (of_intent(**{"$ref": "#/$defs/none"}), "nothing is fetched"),
    ({**of_intent(**{"$ref": "#/$defs/b"}), "$defs": {"a": {}}}, "a definition that is not there"),
    ({**of_intent(**{"$ref": "#/$defs/a"}), "$defs": {"a": {"$ref": "#/$defs/a"}}}, "leads back to itself"),
    ({**of_intent(**{"$ref": "#/$defs/d0"}), "$defs": CHAIN}, f"at most {MAX_DEPTH} levels"),
    ({**of_intent(**{"$ref": "#/$defs/d10"}), "$defs": BOMB}, f"at most {MAX_PARTS} parts"),
    (of_intent(enum=list(range(MAX_PARTS))), f"at most {MAX_PARTS} parts"),
    (of_intent(**DEEP), f"at most {MAX_DEPTH} levels"),
    (of_intent(type="text"), "expected 'type' to be one or more of null, boolean"),
    (of_intent(enum=[]), "expected 'enum' to be an array of one value or more"),
    (of_intent(minLength=-1), "expected 'minLength' to be a whole number from 0 on"),
    (of_intent(multipleOf=0), "expected 'multipleOf' to be a number above 0"),
    (of_intent(anyOf=[]), "expected 'anyOf' to be an array of one schema or more"),
    ({"type": "object", "properties": []}, "expected 'properties' to be an object"),
    ({"type": "object", "properties": {"x" * 129: {}}}, "names of properties of at most 128"),
    ({"type": "object", "required": "reply"}, "expected 'required' to be an array of names"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "said"), UNFIT, ids=[said[:40] for _, said in UNFIT])
def test_a_schema_that_cannot_be_met_or_run_is_refused_by_name_and_never_quoted(
    schema: object, said: str
) -> None:
    with pytest.raises(InputError) as raised:
        read_response_format(asked_for(schema), USECASE)
    assert said in raised.value.message
    assert raised.value.message.startswith("response_format.json_schema.schema")
    assert "SECRET" not in raised.value.message.upper().replace("A KEYWORD OF IT", "")


def test_whether_a_schema_can_be_met_is_not_asked_at_any_price() -> None:
    """Beyond a bound of trials nothing is refused at once; the answer is checked all the same."""
    for parts, refused in ((20, True), (900, False)):
        never = of_intent(anyOf=[{"const": f"x{n}"} for n in range(parts)])
        try:
            made = read_response_format(asked_for(never), USECASE)
        except InputError:
            made = None
        assert (made is None) is refused
        assert made is None or made.problem({"reply": "x", "intent": LABEL}) is not None


async def test_an_unfit_schema_is_refused_before_any_work(app: Served) -> None:
    error_of(await app.client.post("/v1/chat/completions", json=body(of_intent(type="null"))), 422)
    assert app.predictor.seen == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "json_schema"}, "json_schema: expected an object"),
        ({"type": "json_schema", "json_schema": {"schema": {}}}, "name: expected a string"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, "schema: is missing"),
        ({"type": "json_object", "schema": {}}, "response_format: a field is not known"),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "extra": 1}},
            "json_schema: a field is not known",
        ),
    ],
)
def test_a_malformed_format_is_refused_by_name(given: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_response_format(given, USECASE)


async def test_the_client_raises_what_applications_handle(client: AsyncOpenAI) -> None:
    class Price(BaseModel):
        price: float

    class Never(BaseModel):
        intent: Literal["SECRET"]

    for model in (Price, Never):
        with pytest.raises(openai.UnprocessableEntityError, match="response_format"):
            await client.chat.completions.parse(model="support", messages=ASKED, response_format=model)


_LEAF = st.one_of(
    st.booleans(),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "number", "null", "boolean", "integer", "array"])}
    ),
    st.fixed_dictionaries(
        {"enum": st.lists(st.sampled_from([LABEL, "x", 1, None, True]), min_size=1, max_size=3)}
    ),
    st.fixed_dictionaries({"const": st.sampled_from([LABEL, "other", 2.5])}),
    st.fixed_dictionaries({"minLength": st.integers(0, 3000)}),
    st.fixed_dictionaries({"maxLength": st.integers(0, 3000)}),
    st.fixed_dictionaries({"$ref": st.sampled_from(["#/$defs/a", "#/$defs/b", "#/definitions/a", "#"])}),
)
_SCHEMA = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.dictionaries(
            st.sampled_from(["anyOf", "oneOf", "allOf"]), st.lists(inner, min_size=1, max_size=3), max_size=2
        ),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries(
            {}, optional={"title": st.text(), "additionalProperties": inner, "items": inner}
        ),
    ),
    max_leaves=12,
)


@given(_SCHEMA, _SCHEMA, _SCHEMA, st.sampled_from(USECASE.allowed("intent")), st.text(max_size=50))
def test_what_passes_satisfies_the_schema_as_it_was_sent(
    reply: object, intent: object, shared: object, label: str, text: str
) -> None:
    """Whatever the schema: our check without references agrees with the original's; a refusal at the door
    means that no output satisfies it, or that it was not one we run."""
    schema: dict[str, object] = {
        "type": "object", "properties": {"reply": reply, "intent": intent}, "$defs": {"a": shared, "b": True},
        "definitions": {"a": True},
    }  # fmt: skip
    output = {"reply": text, "intent": label}
    try:
        made = read_response_format(asked_for(schema), USECASE)
    except InputError as error:
        if "no value of this field" in error.message:
            assert not Draft202012Validator(schema).is_valid(output)
        return
    assert made is not None
    assert (made.problem(output) is None) == Draft202012Validator(schema).is_valid(output)
    assert json.loads(made.content(output)) == output
