"""Breakers and budgets around a cloud target: what goes out, what is counted, and what never leaks."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feature_checks.usecase import UseCase
from services.bootstrap import Edges, bootstrap
from services.breaker import Permit
from services.budget import BudgetLimits, Reservation
from services.errors import ConfigError, NotAsked, TargetFailed, TargetRefused
from services.guards import Counters, Guards, open_counters
from services.prices import UNPRICED, Prices, Usage
from services.privacy.detect import build_detector
from services.privacy.envelope import seal
from services.runtime import Runtime
from services.settings import EndpointSettings, load_settings
from services.state.redis_counters import RedisCounters
from services.state.sqlite_counters import SqliteCounters
from services.targets.answer_schema import load_answer_schema
from services.targets.chat import ChatReply
from services.targets.cloud import CloudTarget
from services.targets.guarded import GuardedTarget
from services.targets.prompt import load_prompt
from services.values import Answer, Context, Decision
from tests.fakes import (
    HASH_KEY,
    REPOSITORY,
    FakeChat,
    FakePolicy,
    FakePredictor,
    call_of,
    chat_reply,
    envelope_of,
    support,
)
from tests.scripted_endpoint import ScriptedEndpoint
from tests.served import FakePlaced
from tests.services.counting import DeadStore, SetClock


def with_retries(retries: int) -> UseCase:
    """The shipped use case, with so many retries of one endpoint."""
    usecase = support()
    assert usecase.cloud is not None
    return usecase.model_copy(update={"cloud": usecase.cloud.model_copy(update={"retries": retries})})


USECASE = with_retries(0)
PROMPT, SCHEMA = load_prompt(USECASE), load_answer_schema(USECASE)
PRICES = Prices.from_usd(0.1, 0.2, 0.05)
CALL_NANOS = 120_000  # what FakeChat's 1000 and 100 tokens cost then
REQUEST_NANOS = 2_000_000  # usd_per_request of the use case


class Rig:
    """One guarded endpoint with a real store of its own, and a clock set by hand."""

    def __init__(
        self, folder: Path, chat: FakeChat, store: Counters | None = None, usecase: UseCase = USECASE
    ) -> None:
        self.usecase = usecase
        self.clock = SetClock()
        self.store = store or SqliteCounters(folder / "counters.db", timeout_s=10, clock_ms=self.clock.ms)
        self.guards = Guards(self.store, [chat.name], self.clock.s)
        self.target = self.guards.around(CloudTarget(chat, PROMPT, SCHEMA), chat, PROMPT, SCHEMA, usecase)

    async def answer(self, within_s: float = 60.0, **changes: Any) -> Answer:
        envelope = replace(envelope_of(USECASE), **changes)
        return await self.target.answer(envelope, self.usecase, time.monotonic() + within_s)

    async def used(self) -> tuple[int, int]:
        """Spent and reserved today, in nano-USD."""
        use = await self.store.use("acme", "support")
        return use.spent, use.reserved

    def phase(self) -> str:
        return self.guards.breakers.state("primary").phase

    async def ask_often(self, times: int = 10, **how: Any) -> None:
        for _ in range(times):
            with pytest.raises((TargetFailed, TargetRefused)):
                await self.answer(**how)


@asynccontextmanager
async def rig(
    folder: Path, chat: FakeChat, store: Counters | None = None, usecase: UseCase = USECASE
) -> AsyncIterator[Rig]:
    made = Rig(folder, chat, store, usecase)
    await made.guards.start()
    try:
        yield made
    finally:
        await made.guards.close()


def priced(**how: Any) -> FakeChat:
    return FakeChat(**{"prices": PRICES, **how})


class Hangs(FakeChat):
    """Never answers; `asked` is set when a question has arrived."""

    def __init__(self) -> None:
        super().__init__(prices=PRICES)
        self.asked = asyncio.Event()

    async def ask(self, *_: object) -> ChatReply:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_the_most_a_call_can_cost_is_held_while_it_runs_and_then_what_it_did_cost_counts(
    tmp_path: Path,
) -> None:
    """Nothing stays reserved; the id of one request can hold once for each endpoint."""
    during: list[tuple[int, int]] = []

    class Looks(FakeChat):
        async def ask(self, *asked: Any) -> ChatReply:
            during.append(await made.used())
            return await super().ask(*asked)

    async with rig(tmp_path, Looks(prices=PRICES)) as made:
        answer = await made.answer()
        ((spent, reserved),) = during
        assert spent == 0
        assert CALL_NANOS < reserved < REQUEST_NANOS
        assert await made.used() == (CALL_NANOS, 0)
        assert answer.cost_usd == pytest.approx(CALL_NANOS / 1e9)


@pytest.mark.parametrize(
    ("says", "error", "spent"),
    [
        ({"error": TargetFailed("unreachable", "x")}, TargetFailed, 0),
        ({"error": TargetRefused("x")}, TargetRefused, 0),
        ({"reply": chat_reply("no", refused=True)}, TargetRefused, CALL_NANOS),
        ({"reply": chat_reply("{}")}, TargetFailed, CALL_NANOS),
        ({"error": TargetFailed("timeout", "x", cost_usd=None)}, TargetFailed, None),
        ({"error": ValueError("a bug")}, ValueError, None),
    ],
    ids=["unreachable", "filtered", "refused", "breaks the schema", "cost unknown", "bug"],
)
async def test_however_a_call_ends_nothing_stays_reserved(
    tmp_path: Path, says: dict[str, Any], error: type[Exception], spent: int | None
) -> None:
    """A failed call counts what it cost; where nobody knows, all that was held for it."""
    async with rig(tmp_path, priced(**says)) as made:
        with pytest.raises(error):
            await made.answer()
        counted, reserved = await made.used()
        assert reserved == 0
        assert counted == spent if spent is not None else CALL_NANOS < counted < REQUEST_NANOS


async def test_a_cancelled_call_says_nothing_of_its_endpoint_and_counts_all_that_was_held(
    tmp_path: Path,
) -> None:
    """The caller went away: a trial is given back, and the endpoint may have worked for our money."""
    chat = Hangs()
    async with rig(tmp_path, chat) as made:
        made.guards.breakers.record(Permit("primary", 0), True, 0.0)
        for _ in range(10):
            made.guards.breakers.record(Permit("primary", 0), False, 0.0)
        made.clock.pass_s(7)
        for _ in range(5):  # more than there are trials
            chat.asked.clear()
            task = asyncio.create_task(made.answer())
            await asyncio.wait_for(chat.asked.wait(), 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert made.phase() == "half_open"
        spent, reserved = await made.used()
        assert spent > 0
        assert reserved == 0


@pytest.mark.parametrize(
    ("says", "phase"),
    [
        ({"error": TargetFailed("http_500", "x")}, "open"),
        ({"error": TargetFailed("http_429", "x")}, "open"),
        ({"reply": chat_reply("{}")}, "open"),
        ({"error": TargetRefused("x")}, "closed"),
        ({"error": TargetFailed("http_400", "x")}, "closed"),
        ({"error": TargetFailed("timeout", "x")}, "closed"),
    ],
    ids=["500", "429", "breaks the schema", "refused for safety", "request not taken", "cut short"],
)
async def test_only_what_an_endpoint_does_wrong_opens_its_breaker(
    tmp_path: Path, says: dict[str, Any], phase: str
) -> None:
    """Ten calls that fail do; refusals for safety, requests that it cannot take and hurry do not."""
    async with rig(tmp_path, priced(**says)) as made:
        await made.ask_often()
        assert made.phase() == phase


async def test_an_endpoint_that_uses_up_the_time_of_a_patient_caller_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its own timeout ends the call or the deadline around it; a hurried caller's is no failure."""
    monkeypatch.setattr(Rig, "__init__", _with_short_timeout(Rig.__init__))
    async with rig(tmp_path, Hangs()) as made:
        for within_s, phase in ((0.001, "closed"), (0.15, "open")):
            for _ in range(10):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(within_s):
                        await made.answer(within_s)
            assert made.phase() == phase


def _with_short_timeout(real: Any) -> Any:
    def init(self: Rig, *args: Any) -> None:
        real(self, *args)
        self.target._timeout_s = 0.05

    return init


async def test_an_open_breaker_lets_no_call_through_and_says_when_it_will(tmp_path: Path) -> None:
    """The plan is told the same without asking anybody."""
    chat = priced(error=TargetFailed("http_500", "x"))
    async with rig(tmp_path, chat) as made:
        assert made.target.closed(envelope_of(USECASE)) is None
        await made.ask_often()
        with pytest.raises(NotAsked, match=r"10 of 10 calls failed within 30 s; tried again in \d\.\d s"):
            await made.answer()
        said = made.target.closed(envelope_of(USECASE))
        assert said is not None
        assert "tried again in" in said
        assert len(chat.prompts) == 10


async def test_a_refused_reservation_gives_its_trial_back(tmp_path: Path) -> None:
    """Else an endpoint on trial would wait out a lease for a call that was never made."""
    chat = priced(error=TargetFailed("http_500", "x"))
    async with rig(tmp_path, chat) as made:
        await made.ask_often()
        made.clock.pass_s(7)
        for _ in range(5):
            with pytest.raises(NotAsked, match="the request's budget"):
                await made.answer(max_cost_usd=0.0)
        chat.error = None
        for _ in range(2):
            await made.answer()
        assert made.phase() == "closed"


async def test_a_callers_own_limit_is_kept(tmp_path: Path) -> None:
    """`context.max_cost_usd` below what the call may cost: it is not made."""
    chat = priced()
    async with rig(tmp_path, chat) as made:
        with pytest.raises(NotAsked, match=r"the request's budget: .* of 0\.0001 USD"):
            await made.answer(max_cost_usd=0.0001)
        assert chat.prompts == []
        await made.answer(max_cost_usd=0.0019)


def test_a_callers_own_limit_travels_with_the_envelope() -> None:
    """`context.max_cost_usd` is what the budget is capped by."""
    call = replace(call_of(USECASE), context=Context(max_cost_usd=0.5))
    assert seal(call, build_detector(), HASH_KEY)[0].max_cost_usd == 0.5


async def test_an_unpriced_call_holds_and_counts_all_that_a_request_may_cost(tmp_path: Path) -> None:
    """What cannot be priced is never zero."""
    async with rig(tmp_path, priced(prices=UNPRICED)) as made:
        answer = await made.answer()
        assert answer.cost_usd is None
        assert await made.used() == (REQUEST_NANOS, 0)


async def test_a_used_up_day_leaves_the_endpoint_out_and_says_when_it_opens_again(tmp_path: Path) -> None:
    """For this tenant; another one has its own."""
    async with rig(tmp_path, priced()) as made:
        limits = BudgetLimits.from_usd(5.0, 5.0)
        held = await made.guards.budgets.reserve("acme", "support", 5 * 10**9, 60, "r", limits)
        assert isinstance(held, Reservation)
        await made.guards.budgets.settle(held, None)
        assert made.target.closed(envelope_of(USECASE)) == (
            "today's budget of $5.00 for this use case and tenant is used up; it opens again at 00:00 UTC"
        )
        assert made.target.closed(replace(envelope_of(USECASE), tenant="other")) is None
        with pytest.raises(NotAsked, match="the day's budget"):
            await made.answer()


async def test_without_the_counters_nothing_is_spent_and_what_is_free_goes_on(tmp_path: Path) -> None:
    """A budget that nobody can count is closed, and is open again when the store is back."""
    dead = DeadStore(SqliteCounters(tmp_path / "counters.db", timeout_s=10))
    chat = priced()
    async with rig(tmp_path, chat, dead) as made:
        with pytest.raises(NotAsked, match="cannot be counted"):
            await made.answer()
        assert "counters can be reached" in str(made.target.closed(envelope_of(USECASE)))
        assert chat.prompts == []
        dead.down = False
        made.clock.pass_s(2)
        await made.answer()
        dead.down = True
        free = priced(prices=Prices.from_usd(0, 0))
        async with rig(tmp_path, free, dead) as other:
            assert await other.guards.budgets.use("acme", "support") is None  # now it knows
            assert other.target.closed(envelope_of(USECASE)) is None
            assert (await other.answer()).cost_usd == 0.0


def test_policy_hears_the_same_of_a_guarded_target(tmp_path: Path) -> None:
    """Place, name and versions are those of the endpoint."""
    chat = priced(name="eu", region="eu", attested=True)
    cloud = CloudTarget(chat, PROMPT, SCHEMA)
    guarded = Rig(tmp_path, chat).target
    for attribute in ("name", "on_premises", "region", "attested", "versions", "own_text", "sees_request"):
        assert getattr(guarded, attribute) == getattr(cloud, attribute)


def test_a_budget_that_is_no_amount_is_refused_at_start(tmp_path: Path) -> None:
    """With the use case's name and key."""
    assert USECASE.cloud is not None
    budget = USECASE.cloud.budget.model_copy(update={"usd_per_day": 1e300})
    usecase = USECASE.model_copy(update={"cloud": USECASE.cloud.model_copy(update={"budget": budget})})
    chat = priced()
    made = Rig(tmp_path, chat).guards
    with pytest.raises(ConfigError, match=r"support/usecase\.yaml: cloud\.budget: expected 0 to"):
        made.around(CloudTarget(chat, PROMPT, SCHEMA), chat, PROMPT, SCHEMA, usecase)


def test_the_setting_redis_url_chooses_the_store_and_is_never_shown(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong address is refused at start by its name alone."""
    assert isinstance(open_counters(load_settings()), SqliteCounters)
    monkeypatch.setenv("SWITCHYARD_REDIS_URL", "redis://:PLANTED@127.0.0.1:6379/0")
    assert isinstance(open_counters(load_settings()), RedisCounters)
    assert "PLANTED" not in repr(load_settings())
    monkeypatch.setenv("SWITCHYARD_REDIS_URL", "http://:PLANTED@127.0.0.1")
    with pytest.raises(ConfigError, match=r"SWITCHYARD_REDIS_URL: .*expected redis://") as error:
        load_settings()
    assert "PLANTED" not in str(error.value)


@asynccontextmanager
async def running(
    home: Path,
    endpoint: ScriptedEndpoint,
    store: Counters,
    clock: SetClock,
    usecases: Path | None = None,
    confidence: float = 0.1,
    relaxed: tuple[float, float] | None = None,
) -> AsyncIterator[Runtime]:
    """Everything that serves, with a local model that is never sure and one priced endpoint on loopback."""
    configured = EndpointSettings(
        base_url=endpoint.url, model="scripted", usd_per_million_input=0.15, usd_per_million_output=0.6
    )
    settings = load_settings(
        home=home, usecases_dir=usecases or REPOSITORY / "usecases", endpoints={"primary": configured}
    )
    edges = Edges(
        placed=FakePlaced(FakePredictor(USECASE.labels, USECASE.labels[0], confidence), relaxed=relaxed),
        policy=lambda _: FakePolicy(),
        counters=store,
        clock=clock.s,
    )
    async with bootstrap(settings, edges) as runtime:
        yield runtime


async def decide(runtime: Runtime) -> Decision:
    usecase = runtime.pipeline.use_cases["support"].usecase
    return await runtime.pipeline.decide(call_of(usecase, text="What is the weather in Ulm like?"))


async def test_an_endpoint_that_fails_is_left_out_within_milliseconds_and_comes_back_by_itself(
    home: Path,
) -> None:
    """Through everything that serves: ten failures, then safe defaults at once; two good trials close it."""
    clock = SetClock()
    store = SqliteCounters(home / "counters.db", timeout_s=10, clock_ms=clock.ms)
    with ScriptedEndpoint() as endpoint:
        endpoint.will("http_500")
        async with running(home, endpoint, store, clock) as runtime:
            for _ in range(10):
                assert (await decide(runtime)).degraded
            started = time.perf_counter()
            left_out = [await decide(runtime) for _ in range(10)]
            assert (time.perf_counter() - started) / 10 < 0.05
            assert len(endpoint.requests) == 10
            for decision in left_out:
                assert (decision.route, decision.degraded) == ("safe_default", True)
                assert "cloud/primary: its breaker is open: 10 of 10 calls failed" in decision.reasons[-2]
            assert b'switchyard_breaker_state{endpoint="primary"} 2.0' in runtime.telemetry.page()
            endpoint.will("ok")
            clock.pass_s(7)
            for _ in range(3):
                decision = await decide(runtime)
                assert (decision.route, decision.degraded) == ("cloud/primary", False)
            assert b'switchyard_breaker_state{endpoint="primary"} 0.0' in runtime.telemetry.page()


async def test_a_budget_that_runs_short_shifts_the_threshold_towards_local_answers(
    home: Path, tmp_path: Path
) -> None:
    """The same message: to the cloud while there is money, answered here once four fifths are spent."""
    shutil.copytree(REPOSITORY / "usecases" / "support", tmp_path / "usecases" / "support")
    file = tmp_path / "usecases" / "support" / "usecase.yaml"
    file.write_text(file.read_text().replace("usd_per_day: 5.0", "usd_per_day: 0.004"))
    clock = SetClock()
    store = SqliteCounters(home / "counters.db", timeout_s=10, clock_ms=clock.ms)
    with ScriptedEndpoint() as endpoint:
        endpoint.usage = {"prompt_tokens": 10_000, "completion_tokens": 200, "total_tokens": 10_200}
        async with running(home, endpoint, store, clock, tmp_path / "usecases", 0.7, (0.6, 0.05)) as runtime:
            routes = []
            for _ in range(8):
                decision = await decide(runtime)
                routes.append(decision.route)
                await runtime_knows_the_level(clock)
            spent = routes.count("cloud/primary")
            assert routes == ["cloud/primary"] * spent + ["local"] * (8 - spent)
            assert 1 <= spent <= 4
            assert "enough while the cloud budget is short (at most 5.0% wrong)" in decision.reasons[1]


async def runtime_knows_the_level(clock: SetClock) -> None:
    """Levels are looked up beside requests: let a second pass, and those look-ups run."""
    clock.pass_s(1.1)
    await asyncio.sleep(0.02)


async def test_a_budget_of_a_few_calls_refuses_the_next_and_says_so(home: Path, tmp_path: Path) -> None:
    """The next answer is the safe default, and tomorrow the endpoint is asked again."""
    shutil.copytree(REPOSITORY / "usecases" / "support", tmp_path / "usecases" / "support")
    file = tmp_path / "usecases" / "support" / "usecase.yaml"
    file.write_text(file.read_text().replace("usd_per_day: 5.0", "usd_per_day: 0.002"))
    clock = SetClock()
    store = SqliteCounters(home / "counters.db", timeout_s=10, clock_ms=clock.ms)
    with ScriptedEndpoint() as endpoint:
        endpoint.usage = {"prompt_tokens": 5000, "completion_tokens": 200, "total_tokens": 5200}
        async with running(home, endpoint, store, clock, tmp_path / "usecases") as runtime:
            routes = [(await decide(runtime)).route for _ in range(2)]
            assert routes == ["cloud/primary", "cloud/primary"]
            refused = await decide(runtime)
            assert (refused.route, refused.degraded) == ("safe_default", True)
            assert "cloud/primary: the day's budget: this may cost" in refused.reasons[-2]
            assert "it begins anew at midnight UTC" in refused.reasons[-2]
            assert len(endpoint.requests) == 2
            clock.pass_s(86_400)
            assert (await decide(runtime)).route == "cloud/primary"


async def test_without_the_counters_store_the_answer_is_the_safe_default_and_never_an_error(
    home: Path,
) -> None:
    """At start and later: nothing is sent that nobody can count."""
    clock = SetClock()
    dead = DeadStore(SqliteCounters(home / "counters.db", timeout_s=10, clock_ms=clock.ms))
    with ScriptedEndpoint() as endpoint:
        async with running(home, endpoint, dead, clock) as runtime:
            for _ in range(3):
                decision = await decide(runtime)
                assert (decision.route, decision.degraded) == ("safe_default", True)
                assert "spending cannot be counted just now" in decision.reasons[-2]
            assert endpoint.requests == []
            dead.down = False
            clock.pass_s(2)
            assert (await decide(runtime)).route == "cloud/primary"


async def test_a_settlement_that_has_to_wait_is_counted_by_endpoint(home: Path) -> None:
    """The store goes away during the call: the answer goes out, and the metric shows it."""
    clock = SetClock()
    store = DeadStore(SqliteCounters(home / "counters.db", timeout_s=10, clock_ms=clock.ms))
    store.down = False

    class Breaks(FakeChat):
        async def ask(self, *asked: Any) -> ChatReply:
            store.down = True
            return ChatReply('{"reply": "An answer.", "intent": "out_of_scope"}', "stop", False, Usage(1, 1))

    edges = Edges(
        placed=FakePlaced(FakePredictor(USECASE.labels, USECASE.labels[0], 0.1)),
        endpoints={"primary": Breaks(prices=PRICES)},
        policy=lambda _: FakePolicy(),
        counters=store,
        clock=clock.s,
    )
    settings = load_settings(home=home, usecases_dir=REPOSITORY / "usecases")
    async with bootstrap(settings, edges) as runtime:
        assert isinstance(runtime.pipeline.use_cases["support"].targets["cloud/primary"], GuardedTarget)
        assert (await decide(runtime)).route == "cloud/primary"
        assert b'switchyard_settlements_not_counted_total{endpoint="primary"} 1.0' in runtime.telemetry.page()
        store.down = False
    spent = (await store.inner.use("acme", "support")).spent
    await store.inner.close()
    assert spent > 0
