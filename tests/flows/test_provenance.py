"""Evidence says which code, which settings and who made a model."""

import subprocess
from pathlib import Path

import pytest

from flows.kinds import KINDS
from flows.provenance import builder, code_state, lock_sha256
from flows.steps.fit import kind_module
from registry.evidence import BUILDER

SHIPPED = [name for name in KINDS if name != "toy"]


def test_the_builder_is_the_workflow_in_github_actions_and_the_command_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_WORKFLOW_REF", "bank/models/.github/workflows/train.yml@refs/heads/main")
    assert builder() == BUILDER
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert builder() == "https://github.com/bank/models/.github/workflows/train.yml@refs/heads/main"


@pytest.mark.parametrize("kind", SHIPPED)
def test_settings_that_params_leaves_out_are_named_all_the_same(kind: str) -> None:
    """Who reads the evidence need not know what the defaults were on that day."""
    found = kind_module(kind).settings({})
    assert len(found) > 5
    assert all(isinstance(value, int | float | str | bool) for value in found.values())


def test_the_commit_is_that_of_this_code() -> None:
    commit, _ = code_state()
    here = Path(__file__).parent
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    assert commit == (said.stdout.strip() or None)
    assert lock_sha256() is not None
