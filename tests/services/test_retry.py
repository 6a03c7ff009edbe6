"""Asking an endpoint again: only where nothing was billed, inside the deadline, and counted each time."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import NotAsked, TargetFailed
from services.retry import CAP_S, SAFE, WORTH_S, pause_before_retry
from tests.fakes import envelope_of
from tests.services.test_guarded import CALL_NANOS, USECASE, priced, rig, with_retries

BROKEN = TargetFailed("http_503", "answered 503")
kinds = st.sampled_from(
    [*sorted(SAFE), "timeout", "broken_connection", "bad_schema", "truncated", "http_400"]
)


@given(kinds, st.sampled_from([0.0, None, 0.01]), st.sampled_from([None, 3.0]), st.integers(0, 9),
       st.floats(-1, 30), st.floats(0, 1, exclude_max=True))  # fmt: skip
def test_a_retry_is_safe_bounded_and_inside_the_deadline(
    kind: str, cost: float | None, told_s: float | None, turn: int, left_s: float, luck: float
) -> None:
    """Never after what may have been billed, nor when the endpoint said when to come back."""
    pause_s = pause_before_retry(
        TargetFailed(kind, "x", cost_usd=cost, retry_after_s=told_s), turn, left_s, luck
    )
    if pause_s is None:
        return
    assert kind in SAFE
    assert cost == 0
    assert told_s is None
    assert 0 <= pause_s <= CAP_S
    assert pause_s + WORTH_S <= left_s


def test_luck_spreads_the_pauses_over_all_of_their_range() -> None:
    """Full jitter: workers whose calls failed together do not come back together."""
    assert pause_before_retry(BROKEN, 2, 30, 0.0) == 0
    assert pause_before_retry(BROKEN, 2, 30, 0.5) == pytest.approx(0.2)
    assert pause_before_retry(BROKEN, 9, 30, 0.999) == pytest.approx(CAP_S, rel=0.01)


async def test_a_call_that_fails_once_is_made_again_and_answers(tmp_path: Path) -> None:
    """Each call has a reservation of its own, and only the one that answered costs."""
    chat = priced(errors=[BROKEN])
    async with rig(tmp_path, chat, usecase=with_retries(1)) as made:
        answer = await made.answer()
        assert answer.output["reply"] == "An answer."
        assert len(chat.prompts) == 2
        assert await made.used() == (CALL_NANOS, 0)


async def test_when_all_tries_fail_the_reason_says_how_often(tmp_path: Path) -> None:
    chat = priced(error=BROKEN)
    async with rig(tmp_path, chat, usecase=with_retries(2)) as made:
        with pytest.raises(TargetFailed, match="answered 503; asked 3 times"):
            await made.answer()
        assert len(chat.prompts) == 3
        assert await made.used() == (0, 0)


@pytest.mark.parametrize(
    "failure",
    [
        TargetFailed("timeout", "no answer", cost_usd=None),
        TargetFailed("broken_connection", "broke", cost_usd=None),
        TargetFailed("bad_schema", "breaks", cost_usd=0.001),
        TargetFailed("http_400", "answered 400"),
        TargetFailed("wrong_model", "another", cost_usd=None),
    ],
    ids=lambda failure: failure.kind,
)
async def test_what_may_have_been_billed_is_not_asked_twice(tmp_path: Path, failure: TargetFailed) -> None:
    chat = priced(error=failure)
    async with rig(tmp_path, chat, usecase=with_retries(3)) as made:
        with pytest.raises(TargetFailed):
            await made.answer()
        assert len(chat.prompts) == 1


async def test_without_time_for_another_try_there_is_none(tmp_path: Path) -> None:
    chat = priced(error=BROKEN)
    async with rig(tmp_path, chat, usecase=with_retries(3)) as made:
        with pytest.raises(TargetFailed, match=r"answered 503$"):
            await made.answer(within_s=WORTH_S / 2)


async def test_retry_after_closes_the_endpoint_for_that_long_and_for_every_request(tmp_path: Path) -> None:
    """One 429 that says when to come back is enough, and no retry of ours comes earlier."""
    chat = priced(error=TargetFailed("http_429", "answered 429: ask again in 90 s", retry_after_s=90))
    async with rig(tmp_path, chat, usecase=with_retries(3)) as made:
        with pytest.raises(TargetFailed, match="429"):
            await made.answer()
        chat.error = None
        with pytest.raises(NotAsked, match="left alone for 90 s"):
            await made.answer()
        assert "left alone for 90 s" in str(made.target.closed(envelope_of(USECASE)))
        assert len(chat.prompts) == 1
        made.clock.pass_s(91)
        await made.answer()
        assert len(chat.prompts) == 2


async def test_siblings_leave_it_alone_too(tmp_path: Path) -> None:
    """The breaker is shared: another worker of this machine learns it."""
    chat = priced(error=TargetFailed("http_429", "answered 429: ask again in 90 s", retry_after_s=90))
    async with rig(tmp_path, chat) as made, rig(tmp_path, priced()) as sibling:
        with pytest.raises(TargetFailed):
            await made.answer()
        await made.guards.breakers.sync()
        await sibling.guards.breakers.sync()
        assert sibling.phase() == "open"
