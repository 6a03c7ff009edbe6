"""Retraining: from a snapshot to one registered candidate, also where a run dies in between."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from feature_checks.usecase import load_usecase
from flows import retraining, training
from flows.curation import curate
from flows.params import Params
from flows.reuse import REUSABLE
from flows.steps.files import build_dir
from registry.settings import RegistrySettings
from tests.flows.journals import Traffic
from tests.flows.test_curation import LEARNING, text
from tests.toy import write_text_usecase

STEPS = (*REUSABLE, "contract", "package", "sign")


class Died(BaseException):
    """As a killed process: nothing catches it."""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that ran, as the plain functions that they are: no Prefect."""
    seen: list[str] = []

    def plain(name: str, function: Callable[..., Any]) -> Any:
        class Step:
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                seen.append(name)
                return function(*args, **kwargs)

        step: Any = Step()
        step.name = name
        return step

    for name in STEPS:
        owner = retraining if name == "fetch" else training
        monkeypatch.setattr(owner, name, plain(name, getattr(owner, name).fn))
    quiet = {name: lambda *_: None for name in dir(retraining.artifacts) if name.startswith("publish_")}
    monkeypatch.setattr(retraining, "artifacts", SimpleNamespace(**quiet))
    return seen


def test_a_run_that_dies_before_or_after_registration_is_resumed_without_a_second_version(
    toy_kind: None, place: Path, shelf: Any, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was signed is registered as it is: no training again, and the same bytes are the same version."""
    write_text_usecase(place / "usecases", learning=LEARNING)
    usecase = load_usecase("parcels")
    traffic = Traffic(place / "home" / "journal", "parcels", "kind")
    for n in range(3):
        traffic.said(traffic.decided(text(n, "late"), "lost"), "r1", "late")
    found = curate(usecase, "sample", place / "home" / "journal", Params())
    shelf.start_run, shelf.end_run = (lambda *_: "run"), (lambda *_, **__: None)

    def retrain() -> dict[str, Any]:
        return retraining.retrain(usecase, found, "sample", RegistrySettings(), shelf, "prefect-run")

    def dies(*_: Any, **__: Any) -> Any:
        raise Died

    with monkeypatch.context() as crash:
        crash.setattr(shelf, "register", dies)
        with pytest.raises(Died):
            retrain()
    assert (ran, shelf.versions) == (list(STEPS), [])
    with monkeypatch.context() as crash:
        crash.setattr(retraining, "bring", dies)
        with pytest.raises(Died):
            retrain()
    done = retrain()
    assert ran == list(STEPS)
    assert (done["registered"]["version"], done["shadow"], len(shelf.versions)) == (1, True, 1)
    assert shelf.aliases == {"shadow": 1}
    assert (build_dir("parcels", f"sample-{found.digest[:12]}") / "signed").is_dir()
