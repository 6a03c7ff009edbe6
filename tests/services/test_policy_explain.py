"""`switchyard policy explain`: the verdict, the policies behind it, and what would turn it around."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from services.errors import ConfigError
from services.policy import AccessPolicy
from services.policy_cli import policy_commands
from services.policy_explain import explain
from tests.fakes import REPOSITORY, support
from tests.services.policy_help import ask, policy_of


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("SWITCHYARD_USECASES", str(REPOSITORY / "usecases"))
    return CliRunner()


def root() -> typer.Typer:
    app = typer.Typer()
    policy_commands(app)
    return app


def test_each_change_that_is_named_turns_the_verdict_around() -> None:
    policy = AccessPolicy.load(support())
    explanation = explain(policy, ask(residency="eu"))
    assert not explanation.verdict.allowed
    assert {one.change for one in explanation.changes} == {
        "without a residency",
        "residency 'us'",
        "a target in region 'eu'",
        "an attested target",
        "a target on our premises",
    }
    assert all(one.verdict.allowed for one in explanation.changes)


def test_a_permitted_hop_says_what_would_forbid_it() -> None:
    explanation = explain(AccessPolicy.load(support()), ask())
    assert explanation.verdict.allowed
    assert {one.change for one in explanation.changes} == {
        "with the tag 'injection_suspected'",
        "with the tag 'secret'",
        "without the tag 'user_content'",
        "purpose 'marketing'",
    }


def test_two_reasons_at_once_have_no_single_way_out() -> None:
    question = ask(residency="eu", purpose="marketing", tags=frozenset({"user_content"}))
    assert explain(AccessPolicy.load(support()), question).changes == ()


def test_tenants_and_targets_that_policies_name_are_tried(tmp_path: Path) -> None:
    policy = policy_of(
        tmp_path,
        '@id("a") permit (principal == Tenant::"vip", action, resource == Target::"local");',
        ("local",),
    )
    assert [one.change for one in explain(policy, ask(tenant="vip")).changes] == ["target 'local'"]
    assert [one.change for one in explain(policy, ask(target="local")).changes] == ["tenant 'vip'"]


def test_the_command_prints_the_verdict_its_policies_and_ways_out(run: CliRunner) -> None:
    words = "policy explain support --tags user_content,pii_card --residency EU --target cloud/primary"
    result = run.invoke(root(), [*words.split(), "--region", "us"])
    assert result.exit_code == 0
    assert "DENIED: cloud/primary (region us)" in result.output
    assert "data: pii, pii_card, user_content; residency eu; purpose service" in result.output
    assert "residency-is-kept" in result.output
    assert "an attested target (permitted by redacted-text-to-the-cloud-for-service)" in result.output


def test_the_command_prints_json_for_scripts(run: CliRunner) -> None:
    words = "policy explain support --tags user_content --residency eu --target cloud/primary --region us"
    result = run.invoke(root(), [*words.split(), "--attested", "--json"])
    told = json.loads(result.output)
    assert told["allowed"] is True
    assert told["policy_ids"] == ["redacted-text-to-the-cloud-for-service"]
    assert told["question"]["attested"] is True
    assert {"change": "a target that is not attested", "allowed": False,
            "reason": "denied: forbidden by residency-is-kept"} in told["would_change"]  # fmt: skip


def test_targets_on_the_premises_are_known_by_their_names(run: CliRunner) -> None:
    result = run.invoke(root(), ["policy", "explain", "support", "--target", "local", "--residency", "eu"])
    assert "PERMITTED: local (on premises)" in result.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            "support --target cloud/nowhere",
            "'support' has no target 'cloud/nowhere'; its targets: rules, local",
        ),
        ("support --target local --tags usr_content", "no data tag is called 'usr_content'; known: inj"),
    ],
)
def test_a_slip_in_a_name_is_an_error_and_not_an_answer(run: CliRunner, words: str, reason: str) -> None:
    result = run.invoke(root(), ["policy", "explain", *words.split()])
    assert result.exit_code == 1
    assert isinstance(result.exception, ConfigError)
    assert reason in str(result.exception)
