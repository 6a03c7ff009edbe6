"""The demo's rollouts: what is bad about the bad candidate, and where its state lies."""

from pathlib import Path

import pytest
import yaml

from feature_checks.config_candidate import beyond
from feature_checks.usecase import UseCase, load_usecase
from flows.demo_callers import Callers
from flows.demo_candidates import approved, exchanged, own_home, polite
from flows.demo_rollouts import GUARD
from flows.demo_traffic import Message
from registry.rollout_guard import Guard
from tests.fakes import REPOSITORY


@pytest.fixture
def usecase() -> UseCase:
    return load_usecase("support", REPOSITORY / "usecases")


def _read(folder: Path) -> UseCase:
    to = folder.with_name("in") / folder.name / "support"
    to.parent.mkdir(parents=True)
    folder.rename(to)
    return load_usecase("support", to.parent, with_data=False)


def test_both_candidates_are_configurations_that_a_rollout_can_carry(
    usecase: UseCase, tmp_path: Path
) -> None:
    bad, changed = exchanged(usecase, tmp_path / "bad")
    for candidate in (_read(bad), _read(polite(usecase, tmp_path / "good"))):
        assert beyond("config", usecase, candidate) == []
        assert candidate.version != usecase.version
    assert 0.15 < changed / len(usecase.labels) < 0.25


def test_callers_see_an_exchanged_text_and_forgive_a_longer_one(usecase: UseCase, tmp_path: Path) -> None:
    callers = Callers("http://127.0.0.1:9", "sk-none", usecase)
    texts = approved(usecase)["reply"]
    first, second = usecase.labels[:2]
    bad, _ = exchanged(usecase, tmp_path / "bad")
    shown = yaml.safe_load((bad / "templates" / "replies.yaml").read_text())
    asked = Message({"text": "hello"}, first)
    assert shown[first] == texts[second]
    assert callers._right({"reply": texts[first]}, asked)
    assert callers._right({"reply": f"{texts[first].strip()} And more."}, asked)
    assert not callers._right({"reply": shown[first]}, asked)


def test_the_chapter_has_a_state_folder_of_its_own(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for part in ("models/one", "keys", "journal"):
        (home / part).mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    own = own_home(home, tmp_path / "scratch")
    assert sorted(path.name for path in own.iterdir()) == ["keys", "models"]


def test_the_guard_of_the_demo_is_one() -> None:
    guard = Guard.model_validate(yaml.safe_load(GUARD))
    assert {metric.name for metric in guard.metrics} == {"errors", "fallbacks", "latency", "wrong"}
