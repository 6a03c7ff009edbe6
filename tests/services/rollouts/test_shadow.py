"""A candidate in shadow: it sees copies, it is counted, and whatever it does changes no answer."""

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from registry.records import Prediction
from registry.rollout_tallies import RolloutTallies
from services.rollouts.comparing import text_likeness
from tests.fakes import FakePredictor
from tests.served import FakeVersions, served
from tests.services.rollouts.kept import begin, kept
from tests.services.rollouts.test_dividing import CANDIDATE, FAST, LABELS, STABLE, ask, recorded, soon


class Hanging(FakePredictor):
    """Never says anything, until the test is over."""

    def __init__(self) -> None:
        super().__init__(LABELS, CANDIDATE)
        self.over = threading.Event()

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        self.seen.append(fields)
        self.over.wait(120)
        return super().predict(fields)


def shown(page: bytes, what: str) -> float:
    wanted = f'switchyard_shadow_copies_total{{use_case="support",what="{what}"}} '
    return sum(
        float(line.removeprefix(wanted)) for line in page.decode().splitlines() if line.startswith(wanted)
    )


async def test_shadow_is_counted_on_both_sides_and_nobody_gets_its_answer(tmp_path: Path) -> None:
    rollout = begin(tmp_path, advance=0)
    fakes = FakeVersions(v1=FakePredictor(LABELS, STABLE), v2=FakePredictor(LABELS, CANDIDATE))
    async with served(tmp_path, versions=fakes, **FAST) as app:
        copies = fakes.placed["2"].predictor.seen

        async def until_ten() -> None:
            async with asyncio.timeout(60):
                while len(copies) < 10:
                    found = await ask(app, f"{len(copies)} mail@somebody.example")
                    assert found["output"]["intent"] == STABLE
                    await asyncio.sleep(0.05)

        await until_ten()
        one = await recorded(app, await ask(app, "somebody"))
        assert (one["variant"], one["why"]) == ("stable", "weight")
        with kept(tmp_path) as store:
            tallies = RolloutTallies(store.database)

            def period() -> Any:
                return tallies.period(rollout)[0]

            await soon(
                lambda: (
                    "errors" in period().candidate.metrics and period().candidate.metrics["errors"].n >= 10
                )
            )
            whole = period()
        assert whole.candidate.metrics["errors"].n == whole.stable.metrics["errors"].n
        assert whole.candidate.metrics["disagreements"].hits == whole.candidate.metrics["disagreements"].n
        assert whole.candidate.metrics["latency"].n == whole.stable.metrics["latency"].n
        assert shown(app.runtime.telemetry.page(), "disagreed") >= 10
        listed = (await app.client.get("/v1/reviews?use_case=support")).json()
        assert "shadow_disagreement" in str(listed)


@pytest.mark.parametrize("broken", ["raises", "hangs"])
async def test_a_shadow_that_breaks_or_hangs_changes_no_answer_and_holds_nothing_up(
    tmp_path: Path, broken: str
) -> None:
    begin(tmp_path, advance=0)
    hanging = Hanging()
    raising = FakePredictor(LABELS, CANDIDATE, error=RuntimeError("it broke"))
    candidate = hanging if broken == "hangs" else raising
    fakes = FakeVersions(v1=FakePredictor(LABELS, STABLE), v2=candidate)
    async with served(tmp_path, versions=fakes, **FAST) as app:
        try:
            for i in range(30):
                assert (await ask(app, f"person {i}"))["output"]["intent"] == STABLE
            await soon(lambda: bool(candidate.seen))
            for i in range(30):
                assert (await ask(app, f"person {i}"))["output"]["intent"] == STABLE
            if broken == "hangs":
                assert len(hanging.seen) <= 2  # its threads; all other copies are dropped
                assert shown(app.runtime.telemetry.page(), "dropped") > 0
            else:
                await soon(lambda: shown(app.runtime.telemetry.page(), "failed") > 0)
        finally:
            hanging.over.set()


def test_likeness_is_one_for_the_same_and_falls_with_what_differs() -> None:
    assert text_likeness("Your card is on its way.", "Your card is on  its way.") == pytest.approx(1)
    assert text_likeness("abc", "xyz") < 0.2
    assert text_likeness("", "") == 1
    near = text_likeness("Your card is on its way.", "Your new card is on the way.")
    assert 0.5 < near < 1
