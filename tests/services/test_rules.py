"""The rules: a checked decision graph that answers little, and what it answers is right."""

import copy
import csv
import json
import shutil
import threading

import pytest

from feature_checks.usecase import load_usecase
from services.errors import ConfigError, TargetFailed
from services.targets.rule_graph import load_rules
from services.targets.rules import RulesTarget
from services.values import Answer, Declined
from tests.fakes import REPOSITORY, envelope_of, support

USECASE = support()
GRAPH = json.loads((REPOSITORY / "usecases" / "support" / "rules.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rules():
    return RulesTarget(load_rules(USECASE))


def loaded(tmp_path, graph):
    shutil.copytree(REPOSITORY / "usecases" / "support", tmp_path / "support")
    text = graph if isinstance(graph, str) else json.dumps(graph)
    (tmp_path / "support" / "rules.json").write_text(text, encoding="utf-8")
    return load_rules(load_usecase("support", tmp_path))


async def ask(rules, text):
    return await rules.answer(envelope_of(USECASE, text=text), USECASE, 0.0)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Hello", "out_of_scope"),
        ("  hi there! ", "out_of_scope"),
        ("Good morning team :)", "out_of_scope"),
        ("Can I speak to a human please?", "out_of_scope"),
        ("I'd like to talk to a real person", "out_of_scope"),
        ("My card was stolen and all my money is gone!!", "cash_withdrawal_not_recognised"),
        ("someone robbed me, took my wallet and is now taking money out", "cash_withdrawal_not_recognised"),
    ],
)
async def test_a_rule_answers_what_it_was_written_for(rules, text, label):
    answer = await ask(rules, text)
    assert isinstance(answer, Answer)
    assert answer.output["intent"] == label
    assert answer.reason.startswith("a rule matched: ")


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "Where is my card?", "My card was stolen", "hi, my card was stolen",
        "Hello, where is my card?", "Do I need to speak to a representative to change my pin?",
        "who do I talk to, to cancel a transfer?", "Are you a human or a computer?",
        "my money is gone", "I want to withdraw money", "high fees", "<CARD_1>",
    ],
)  # fmt: skip
async def test_no_rule_takes_what_the_model_should_have(rules, text):
    assert await ask(rules, text) == Declined("no rule matched")


async def test_rules_see_tags(tmp_path):
    graph = copy.deepcopy(GRAPH)
    table = next(node for node in graph["nodes"] if node["type"] == "decisionTableNode")["content"]
    reading = next(node for node in graph["nodes"] if node["type"] == "expressionNode")["content"]
    reading["expressions"].append({"id": "c", "key": "card", "value": "some(tags, # == 'user_content')"})
    table["inputs"] = [{"id": "card", "name": "Card", "field": "card"}]
    table["rules"] = [
        {"_id": "r", "card": "true", "intent": "'out_of_scope'", "reply": "'x'", "reason": "'y'"}
    ]
    answer = await ask(RulesTarget(loaded(tmp_path, graph)), "anything")
    assert answer.output == {"intent": "out_of_scope", "reply": "x"}


def broken(change):
    graph = copy.deepcopy(GRAPH)
    change({node["type"]: node for node in graph["nodes"]})
    return graph


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ("not json", "cannot be read as JSON"),
        ("[]", "expected a decision graph"),
        ({"nodes": [], "foo": 1}, "edges"),
        (
            broken(lambda n: n["expressionNode"]["content"]["expressions"][0].update(value="lower(")),
            "node 'Reading'",
        ),
        (broken(lambda n: n["expressionNode"].update(type="functionNode")), "functionNode is not allowed"),
        (broken(lambda n: n["decisionTableNode"].update(type="decisionNode")), "decisionNode is not allowed"),
        (
            broken(lambda n: n["decisionTableNode"]["content"]["rules"][1].update(text="matches($, 'x'")),
            "node 'Fixed replies', row 2, column 'Text, lower case'",
        ),
        (
            broken(lambda n: n["decisionTableNode"]["content"]["rules"][1].update(text="matches($, '(((')")),
            "Invalid regular expression",
        ),
        (
            broken(lambda n: n["decisionTableNode"]["content"]["rules"][0].update(reply="'it's'")),
            "row 1, column 'Reply'",
        ),
        (
            broken(lambda n: n["decisionTableNode"]["content"]["inputs"][0].update(field="nosuch(")),
            "column 'Short, and opens with a greeting'",
        ),
        (broken(lambda n: n["decisionTableNode"]["content"].pop("rules")), "key 'rules' is missing"),
    ],
)
def test_a_broken_graph_is_refused_at_start_with_file_node_and_cell(tmp_path, graph, message):
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, graph)
    assert raised.value.message.startswith("support/rules.json: ")
    assert message in raised.value.message
    assert "\n" not in raised.value.message


async def test_a_rule_whose_answer_is_no_set_of_fields_is_a_failure(tmp_path):
    graph = copy.deepcopy(GRAPH)
    table = next(node for node in graph["nodes"] if node["type"] == "decisionTableNode")["content"]
    table["outputs"] = [{"id": "a", "name": "A", "field": "answer"}]
    table["rules"] = [{"_id": "r", "a": "'just text'"}]
    with pytest.raises(TargetFailed, match="not a set of output fields"):
        await ask(RulesTarget(loaded(tmp_path, graph)), "anything")


async def test_an_engine_that_fails_says_nothing_of_the_request(rules):
    class Fails:
        def evaluate(self, fields, tags):
            raise RuntimeError(f"cannot evaluate {fields}")

    with pytest.raises(TargetFailed) as raised:
        await ask(RulesTarget(Fails()), "a secret")
    assert "secret" not in raised.value.message


def test_a_graph_may_be_read_in_one_thread_and_used_in_another(rules):
    """A new configuration is read beside the requests and then used by them."""
    made = []
    thread = threading.Thread(target=lambda: made.append(load_rules(USECASE)))
    thread.start()
    thread.join()
    assert "answer" in made[0].evaluate({"text": "hello"}, [])


async def test_on_the_shipped_sample_rules_take_very_few_messages_and_answer_them_rightly(rules):
    with (REPOSITORY / "usecases" / "support" / "data" / "messages.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    answers = [(await ask(rules, row["text"]), row["intent"]) for row in rows]
    taken = [(answer.output["intent"], label) for answer, label in answers if isinstance(answer, Answer)]
    assert 0 < len(taken) <= 0.01 * len(rows)
    assert [said for said, label in taken if said != label] == []
