"""Hedged calls: the second endpoint is asked only when the first takes long, and one answer wins."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from services.attempts import attempt_in_order
from services.errors import TargetFailed, TargetRefused
from services.hedge import race
from services.plan import make_plan
from services.prepared import PreparedUseCase
from services.targets import Target
from services.targets.fallback import SafeDefault
from services.values import Answer, AttemptRecord, Verdict
from tests.fakes import FakePolicy, call_of, envelope_of, support

LONG_S = 30.0


@dataclass
class Scripted:
    """An attempt that ends as told, `after_s` from its start."""

    name: str
    outcome: str = "answered"
    after_s: float = 0.0
    started: bool = False
    cancelled: bool = False
    wait_for: asyncio.Event | None = None
    settled: bool = False

    @property
    def refused(self) -> bool:
        return self.settled and self.outcome == "refused"

    async def run(self) -> AttemptRecord:
        self.started = True
        try:
            await (self.wait_for.wait() if self.wait_for else asyncio.sleep(self.after_s))
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        self.settled = self.outcome in ("answered", "refused")
        return AttemptRecord(self.name, self.outcome, "x")

    def overtaken(self, by: str) -> AttemptRecord:
        return AttemptRecord(self.name, "overtaken", by)


async def raced(first: Scripted, second: Scripted, after_s: float = 0.01) -> list[tuple[str, str]]:
    return [(record.target, record.outcome) for record in await race(first, second, after_s)]


@pytest.mark.parametrize("outcome", ["answered", "failed"])
async def test_a_first_that_ends_in_time_is_alone(outcome: str) -> None:
    first, second = Scripted("a", outcome), Scripted("b")
    assert await raced(first, second, LONG_S) == [("a", outcome)]
    assert not second.started


async def test_a_slow_first_is_overtaken_and_cancelled() -> None:
    first, second = Scripted("a", after_s=LONG_S), Scripted("b")
    assert await raced(first, second) == [("a", "overtaken"), ("b", "answered")]
    assert first.cancelled


async def test_a_first_that_wins_after_all_cancels_the_second() -> None:
    first, second = Scripted("a", after_s=0.05), Scripted("b", after_s=LONG_S)
    assert await raced(first, second) == [("a", "answered"), ("b", "overtaken")]
    assert second.cancelled


async def test_a_failure_of_one_waits_for_the_other() -> None:
    first, second = Scripted("a", after_s=0.05), Scripted("b", "failed")
    assert await raced(first, second) == [("a", "answered"), ("b", "failed")]
    first, second = Scripted("a", "failed", after_s=0.03), Scripted("b", "failed", after_s=0.01)
    assert await raced(first, second) == [("a", "failed"), ("b", "failed")]


async def test_a_refusal_for_safety_ends_both() -> None:
    first, second = Scripted("a", after_s=LONG_S), Scripted("b", "refused")
    assert await raced(first, second) == [("a", "overtaken"), ("b", "refused")]


@pytest.mark.parametrize(("first", "second"), [("refused", "answered"), ("answered", "refused")])
async def test_a_refusal_that_comes_together_with_an_answer_wins(first: str, second: str) -> None:
    """Both end in the same moment: an answer must not go around it."""
    both = Scripted("a", first, 0.03), Scripted("b", second, 0.02)
    refusal = "a" if first == "refused" else "b"
    gate = asyncio.Event()
    for one in both:
        one.wait_for = gate
    asyncio.get_running_loop().call_later(0.05, gate.set)
    records = dict(await raced(*both))
    assert records.pop(refusal) == "refused"
    assert list(records.values()) == ["overtaken"]


async def test_a_caller_who_leaves_cancels_both() -> None:
    first, second = Scripted("a", after_s=LONG_S), Scripted("b", after_s=LONG_S)
    race_task = asyncio.create_task(raced(first, second))
    while not second.started:  # noqa: ASYNC110  — an attempt announces nothing
        await asyncio.sleep(0.005)
    race_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race_task
    assert first.cancelled
    assert second.cancelled


class Endpoint(Target):
    """A cloud target that does what `says` does."""

    own_text = False
    on_premises = False

    def __init__(self, name: str, says: Callable[[], Awaitable[Answer]]) -> None:
        self.name = f"cloud/{name}"
        self.says = says
        self.asked = 0

    async def answer(self, *_: object) -> Answer:
        self.asked += 1
        return await self.says()


async def good() -> Answer:
    return Answer({"reply": "Hello.", "intent": "out_of_scope"}, cost_usd=0.001)


async def never() -> Answer:
    await asyncio.sleep(LONG_S)
    raise AssertionError


async def refuses() -> Answer:
    raise TargetRefused("the model refused for reasons of safety; that is final")


async def fails() -> Answer:
    raise TargetFailed("http_500", "answered 500")


async def tried(
    first: Endpoint, second: Endpoint, hedge_after_s: float | None = 0.01, policy: FakePolicy | None = None
) -> tuple[list[tuple[str, str]], str | None]:
    usecase = support()
    assert usecase.cloud is not None
    cloud = usecase.cloud.model_copy(update={"hedge_after_s": hedge_after_s})
    targets: dict[str, Target] = {t.name: t for t in (first, second, SafeDefault())}
    prepared = PreparedUseCase(
        usecase.model_copy(update={"cloud": cloud}), policy or FakePolicy(), tuple(targets), targets, ()
    )
    envelope = envelope_of(usecase)
    permits = lambda target: Verdict(True, ("p",), "permitted")  # noqa: E731  — one word for all targets
    plan = make_plan(prepared.order, targets, {}, permits, lambda name: None)
    records, given = await attempt_in_order(prepared, plan, envelope, call_of(usecase).deadline)
    return [(r.target, r.outcome) for r in records], given.target.name if given else None


async def test_the_next_endpoint_answers_for_one_that_takes_long() -> None:
    records, route = await tried(Endpoint("a", never), Endpoint("b", good))
    assert (records, route) == ([("cloud/a", "overtaken"), ("cloud/b", "answered")], "cloud/b")


async def test_without_hedging_the_second_is_not_asked_while_the_first_works() -> None:
    second = Endpoint("b", good)
    records, route = await tried(Endpoint("a", good), second, None)
    assert (records, route, second.asked) == ([("cloud/a", "answered")], "cloud/a", 0)


async def test_a_first_that_fails_at_once_is_followed_by_the_second_as_ever() -> None:
    records, route = await tried(Endpoint("a", fails), Endpoint("b", good), LONG_S)
    assert (records, route) == ([("cloud/a", "failed"), ("cloud/b", "answered")], "cloud/b")


async def test_a_refusal_in_a_race_leaves_only_what_sees_nothing() -> None:
    records, route = await tried(Endpoint("a", never), Endpoint("b", refuses))
    assert records == [("cloud/a", "overtaken"), ("cloud/b", "refused"), ("safe_default", "answered")]
    assert route == "safe_default"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_an_answer_in_the_same_moment_as_a_refusal_does_not_go_out(order: tuple[int, int]) -> None:
    both = asyncio.Barrier(2)

    async def late_good() -> Answer:
        await both.wait()
        return await good()

    async def late_refusal() -> Answer:
        await both.wait()
        return await refuses()

    says = (late_good, late_refusal)
    records, route = await tried(Endpoint("a", says[order[0]]), Endpoint("b", says[order[1]]))
    assert route == "safe_default"
    assert sorted(outcome for _, outcome in records) == ["answered", "overtaken", "refused"]


async def test_policy_is_asked_for_the_hedge_as_well() -> None:
    """A second hop is a hop: what policy forbids is not asked because the first is slow."""
    second = Endpoint("b", good)
    policy = FakePolicy(denied=["cloud/b"])

    async def slow() -> Answer:
        while not any(q.target == "cloud/b" for q in policy.questions):  # noqa: ASYNC110  — nothing tells
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        return await good()

    records, route = await tried(Endpoint("a", slow), second, 0.01, policy)
    assert (records, route, second.asked) == ([("cloud/a", "answered"), ("cloud/b", "denied")], "cloud/a", 0)
