"""Breakers and budgets around an answer that is told while it is written: asked once, counted once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.errors import TargetFailed
from services.targets.chat import ChatReply
from tests.fakes import FakeChat, envelope_of
from tests.services.test_guarded import PRICES, USECASE, Rig, rig, with_retries

CONTENT = '{"reply": "An answer.", "intent": "out_of_scope"}'


class Tells(FakeChat):
    """Tells its pieces, and then waits until it is cancelled."""

    async def ask_streamed(self, *asked: Any) -> ChatReply:
        self.prompts.append((asked[0], asked[1]))
        for piece in self.pieces:
            await asked[-1](piece)
        await asyncio.Event().wait()
        raise AssertionError


async def answer(made: Rig, told: list[str], within_s: float = 60.0) -> Any:
    async def written(text: str) -> None:
        told.append(text)

    deadline = asyncio.get_running_loop().time() + within_s
    return await made.target.answer_written(envelope_of(USECASE), made.usecase, deadline, written)


async def test_a_told_answer_is_settled_as_any_other(tmp_path: Path) -> None:
    """Its cost replaces what was held; the text grows with each piece."""
    async with rig(tmp_path, FakeChat(prices=PRICES, pieces=list(CONTENT))) as made:
        told: list[str] = []
        assert (await answer(made, told)).output["reply"] == "An answer."
        assert told[-1] == "An answer."
        assert all("An answer.".startswith(text) for text in told)
        assert await made.used() == (120_000, 0)


@pytest.mark.parametrize(("pieces", "times"), [((), 4), ((CONTENT,), 1)])
async def test_nothing_is_asked_again_once_a_word_was_told(tmp_path: Path, pieces: Any, times: int) -> None:
    """However safe another question would have been."""
    chat = FakeChat(prices=PRICES, pieces=pieces, error=TargetFailed("http_500", "answered 500"))
    async with rig(tmp_path, chat, usecase=with_retries(3)) as made:
        with pytest.raises(TargetFailed):
            await answer(made, [])
        assert len(chat.prompts) == times
        assert (await made.used())[1] == 0


async def test_callers_that_leave_an_answer_that_comes_close_no_endpoint_for_others(tmp_path: Path) -> None:
    """All that was held for it counts, once; its breaker learns nothing."""
    cloud = USECASE.cloud
    assert cloud is not None
    hasty = USECASE.model_copy(update={"cloud": cloud.model_copy(update={"timeout_s": 0.01})})
    async with rig(tmp_path, Tells(prices=PRICES, pieces=[CONTENT]), usecase=hasty) as made:
        for _ in range(12):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(answer(made, []), 0.02)
        assert made.phase() == "closed"
        spent, reserved = await made.used()
        assert reserved == 0
        assert spent > 0
        assert spent % 12 == 0
