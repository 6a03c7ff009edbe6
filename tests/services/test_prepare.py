"""A use-case folder made ready to serve: what is wrong in it is refused, what is merely absent is said."""

import json
import shutil

import pytest
import yaml

from feature_checks.usecase import load_usecase
from services.errors import ConfigError
from services.prepare import prepare
from services.targets.answer_schema import load_answer_schema
from services.targets.templates import load_templates
from tests.fakes import (
    REPOSITORY,
    FakeChat,
    FakeDetector,
    FakeLocalModel,
    FakePolicy,
    envelope_of,
    support,
)
from tests.toy import write_number_usecase


def prepared(usecase, local=None, endpoints=None):
    return prepare(
        usecase, policy=FakePolicy(), detector=FakeDetector(), local=local, endpoints=endpoints or {}
    )


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped use case, to be broken."""
    shutil.copytree(REPOSITORY / "usecases" / "support", tmp_path / "support")
    return tmp_path / "support"


def load(folder):
    return load_usecase(folder.name, folder.parent)


def change(folder, **changes):
    file = folder / "usecase.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))
    return load(folder)


def test_the_shipped_use_case_is_ready_with_its_targets_in_plan_order():
    made = prepared(support(), FakeLocalModel("card_arrival"), {"primary": FakeChat()})
    assert made.order == ("rules", "local", "cloud/primary", "safe_default")
    assert list(made.targets) == list(made.order)
    assert made.missing == {}


def test_what_is_not_there_is_missing_and_says_what_to_do():
    made = prepared(support())
    assert "switchyard train support" in made.missing["local"]
    assert "SWITCHYARD_ENDPOINTS" in made.missing["cloud/primary"]
    assert list(made.targets) == ["rules", "safe_default"]


def test_cloud_endpoints_keep_the_order_of_the_use_case(folder):
    raw = yaml.safe_load((folder / "usecase.yaml").read_text())
    usecase = change(folder, cloud={**raw["cloud"], "endpoints": ["b", "a"]})
    made = prepared(usecase, endpoints={"a": FakeChat(name="a"), "b": FakeChat(name="b")})
    assert made.order == ("rules", "local", "cloud/b", "cloud/a", "safe_default")


async def test_a_use_case_of_numbers_needs_no_other_code(tmp_path):
    write_number_usecase(tmp_path)
    usecase = load_usecase("sums", tmp_path)
    made = prepared(usecase, FakeLocalModel("fine"))
    answer = await made.targets["local"].answer(envelope_of(usecase, amount=5.0, hour=3), usecase, 0.0)
    assert answer.output == {"verdict": "fine"}


def test_a_step_that_this_version_does_not_serve_is_refused(folder):
    with pytest.raises(ConfigError, match="'cache' is not served by this version; served: rules, local"):
        prepared(change(folder, plan=["rules", "cache", "safe_default"]))


def test_a_safe_default_that_breaks_the_output_contract_is_refused_at_start(folder):
    with pytest.raises(ConfigError, match="safe_default: output_schema: field 'intent'"):
        prepared(change(folder, safe_default={"reply": "x", "intent": "made_up"}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("card_arrival: 'x'\nmade_up: 'y'", "made_up: is not among the 78 allowed labels"),
        ("- a\n- b", "expected label: text, got list"),
        ("card_arrival: 5", "card_arrival: expected text"),
        ("true: 'x'", "True: expected text for a label"),
        ("a: b: c", "cannot be read as YAML"),
        (f"card_arrival: '{'x' * 2001}'", "expected 0 to 2000 characters, got 2001"),
    ],
)
def test_broken_templates_are_refused_by_file_and_label(folder, text, message):
    (folder / "templates" / "replies.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_templates(load(folder))
    assert raised.value.message.startswith("support/templates/replies.yaml: ")
    assert message in raised.value.message


def test_every_label_of_the_shipped_use_case_has_an_approved_text():
    usecase = support()
    assert set(load_templates(usecase)["reply"]) >= set(usecase.labels)


def schema_of(folder, **changes):
    file = folder / "reply.schema.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return load_answer_schema(load(folder))


def test_the_schema_that_is_sent_is_strict_and_narrowed_to_the_allowed_labels(folder):
    wire = schema_of(folder).on_the_wire["json_schema"]
    assert (wire["name"], wire["strict"]) == ("support", True)
    properties = wire["schema"]["properties"]
    assert set(properties["intent"]["enum"]) == {*support().labels, "out_of_scope"}
    assert "maxLength" not in properties["reply"]
    assert wire["schema"]["additionalProperties"] is False


def test_an_output_field_may_be_named_like_a_schema_keyword(tmp_path):
    write_number_usecase(tmp_path)
    root = tmp_path / "sums"
    schema = {
        "type": "object", "required": ["pattern"], "additionalProperties": False,
        "properties": {"pattern": {"type": "string", "pattern": "^f"}},
    }  # fmt: skip
    (root / "answer.json").write_text(json.dumps(schema))
    (root / "prompt.md").write_text("x\n---\ny")
    cloud = {
        "endpoints": ["a"], "prompt": "prompt.md", "output_schema": "answer.json",
        "budget": {"usd_per_day": 1.0, "usd_per_request": 0.1},
    }  # fmt: skip
    usecase = change(
        root, cloud=cloud, output={"pattern": {"type": "string", "values": "labels.txt"}}, label="pattern",
        safe_default={"pattern": "fine"},
    )  # fmt: skip
    wire = load_answer_schema(usecase).on_the_wire["json_schema"]["schema"]
    assert wire["properties"] == {"pattern": {"type": "string", "enum": ["fine", "odd"]}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "array"}, "expected type 'object'"),
        ({"type": "no such type"}, "is not a JSON schema"),
        ({"properties": {"reply": {"type": "string"}}}, "differs in intent"),
        ({"required": ["reply"]}, "every property in 'required'"),
        ({"additionalProperties": True}, "additionalProperties: false"),
    ],
)
def test_a_schema_that_is_not_strict_or_not_the_output_is_refused(folder, changes, message):
    with pytest.raises(ConfigError) as raised:
        schema_of(folder, **changes)
    assert raised.value.message.startswith("support/reply.schema.json: ")
    assert message in raised.value.message
