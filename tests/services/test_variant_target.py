"""A candidate that fails: stable answers in its place, unless the caller has begun to read the candidate."""

import pytest

from feature_checks.usecase import UseCase
from services.errors import TargetFailed
from services.rollouts.cutoff import Cutoff
from services.targets import Target, Written
from services.targets.variant import VariantTarget
from services.values import Answer, Declined, Envelope
from tests.fakes import envelope_of, support


class Writes(Target):
    """Says its texts while it writes them, then breaks, if it is told how."""

    def __init__(self, texts: tuple[str, ...], error: Exception | None = None) -> None:
        self.name = "cloud/primary"
        self.asked = 0
        self._texts = texts
        self._error = error

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer | Declined:
        raise AssertionError("asked without a listener")

    async def answer_written(
        self, envelope: Envelope, usecase: UseCase, deadline: float, written: Written
    ) -> Answer | Declined:
        self.asked += 1
        for text in self._texts:
            await written(text)
        if self._error is not None:
            raise self._error
        return Answer({"reply": self._texts[-1]}, reason="said so")


async def heard(
    candidate: Target, stable: Target
) -> tuple[list[str], VariantTarget, Answer | Declined | TargetFailed]:
    told: list[str] = []

    async def written(text: str) -> None:
        told.append(text)

    target = VariantTarget(candidate, (stable,), Cutoff(5), (), lambda _target, _envelope: True)
    usecase = support()
    try:
        said = await target.answer_written(envelope_of(usecase, text="hello"), usecase, 5.0, written)
    except TargetFailed as failure:
        return told, target, failure
    return told, target, said


FAILURES = [TargetFailed("unreachable", "went away"), RuntimeError("PLANTED")]


@pytest.mark.parametrize("error", FAILURES, ids=["failed", "broke"])
async def test_nothing_of_stable_follows_what_the_caller_has_read_of_the_candidate(error: Exception) -> None:
    stable = Writes(("Stable.",))
    told, target, outcome = await heard(Writes(("Candi",), error), stable)
    assert told == ["Candi"]
    assert stable.asked == 0
    assert isinstance(outcome, TargetFailed)
    assert "PLANTED" not in outcome.message
    assert target.failed is not None


@pytest.mark.parametrize("error", FAILURES, ids=["failed", "broke"])
async def test_stable_answers_where_nothing_was_said_yet(error: Exception) -> None:
    stable = Writes(("Stable.",))
    told, _, outcome = await heard(Writes((), error), stable)
    assert (told, stable.asked) == (["Stable."], 1)
    assert isinstance(outcome, Answer)
    assert "since the candidate" in outcome.reason
    assert "PLANTED" not in outcome.reason
