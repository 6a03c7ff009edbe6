"""Rollouts of what cloud models are asked, and of whole configurations, in a served app."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from registry.config_packages import seal_config
from registry.rollout import Move, State
from registry.rollout_tallies import RolloutTallies
from registry.settings import RegistrySettings
from registry.switches import Switches, Turn
from services.errors import TargetFailed
from services.prices import Prices
from services.receipt_check import verify_receipt
from services.receipt_keys import public_jwks
from services.targets.chat import ChatReply
from tests.fakes import FakeChat, chat_reply
from tests.served import Served, served
from tests.services.rollouts.configs import begun, changed, usecases_in
from tests.services.rollouts.kept import kept, wish
from tests.services.rollouts.test_dividing import ask, recorded, soon
from tests.services.rollouts.test_shadow import shown

FAST = {"rollout_poll_s": 0.05, "model_poll_s": 0.05}
MARK = "Be very short."
PROMPT = ("prompts/reply.md", "Rules:", f"{MARK}\n\nRules:")
BUDGET = ("usecase.yaml", "usd_per_day: 5.0,", "usd_per_day: 5.0, shadow_usd_per_day: 0.001,")
TEMPLATE = ("templates/replies.yaml", "I'm sorry", "We are sorry")
NEWER = ("usecase.yaml", "endpoints: [primary]", "endpoints: [newer]")
HOW = ["altered", "unsigned", "by another key", "another version", "another contract"]
UNSURE = 0.1  # the local model declines, and the cloud is asked


class Prompted(FakeChat):
    """Answers by what the prompt says: `other` where it holds the candidate's mark."""

    def __init__(self, other: Callable[[], Awaitable[ChatReply]], **given: Any) -> None:
        super().__init__(**{"prices": Prices.from_usd(0.0, 0.0, 0.0), **given})
        self.other = other
        self.others = 0

    async def ask(
        self, system: str, user: str, response_format: Mapping[str, Any], max_tokens: int, timeout_s: float
    ) -> ChatReply:
        if MARK in system:
            self.others += 1
            return await self.other()
        return await super().ask(system, user, response_format, max_tokens, timeout_s)


async def short() -> ChatReply:
    return chat_reply('{"reply": "Short.", "intent": "out_of_scope"}')


async def no_json() -> ChatReply:
    return chat_reply("I am a poem")


async def outside() -> ChatReply:
    return chat_reply('{"reply": "Short.", "intent": "made_up"}')


async def gone() -> ChatReply:
    raise TargetFailed("unreachable", "cannot be reached")


async def leaky() -> ChatReply:
    return chat_reply('{"reply": "Write to eve@somebody.example.", "intent": "out_of_scope"}')


async def raising() -> ChatReply:
    raise RuntimeError("PLANTED")


async def hanging() -> ChatReply:
    await asyncio.Event().wait()
    raise AssertionError("it waits forever")


@pytest.fixture
def usecases(tmp_path: Path) -> Path:
    return usecases_in(tmp_path)


def state(home: Path, component: str) -> State:
    with kept(home) as store:
        return store.latest(component).state


async def test_another_prompt_reaches_its_share_and_journal_and_receipt_name_it(
    tmp_path: Path, usecases: Path
) -> None:
    rollout = begun(tmp_path, usecases, changed(usecases, tmp_path / "next", PROMPT), "cloud")
    async with served(tmp_path, UNSURE, chat=Prompted(short), usecases_dir=usecases, **FAST) as app:
        answers = [await ask(app, f"person {i}") for i in range(20)]
        seen = set()
        for one in answers:
            record = await recorded(app, one)
            assert (record["component"], record["why"], record["failed"]) == ("support/cloud", "weight", None)
            candidate = record["variant"] == "candidate"
            assert one["output"]["reply"] == ("Short." if candidate else "An answer.")
            assert record["version"] == (rollout.candidate if candidate else rollout.stable)
            assert one["versions"]["config"] == record["version"]
            claims = verify_receipt(str(one["receipt"]), public_jwks(tmp_path / "keys"))
            assert claims["rollouts"] == [record]
            seen.add(record["variant"])
        assert seen == {"stable", "candidate"}
        with kept(tmp_path) as store:
            tallies = RolloutTallies(store.database)
            await soon(lambda: "cost" in tallies.period(rollout)[0].candidate.metrics)


@pytest.mark.parametrize("other", [no_json, outside, gone, raising], ids=lambda one: str(one.__name__))
async def test_a_prompt_that_fails_hard_is_cut_off_while_stable_answers_in_the_same_request(
    tmp_path: Path, usecases: Path, other: Callable[[], Awaitable[ChatReply]]
) -> None:
    """And the endpoint that both share stays open for stable."""
    begun(tmp_path, usecases, changed(usecases, tmp_path / "next", PROMPT), "cloud", steps=(100.0,))
    chat = Prompted(other)
    async with served(tmp_path, UNSURE, chat=chat, workers=2, usecases_dir=usecases, **FAST) as app:
        for i in range(30):
            one = await ask(app, f"person {i}")
            assert (one["output"]["reply"], one["route"]) == ("An answer.", "cloud/primary")
        assert chat.others <= 2 * 5  # two workers: ten requests together; an unreachable one is asked twice
        await soon(lambda: state(tmp_path, "support/cloud") is State.ROLLED_BACK)
    with kept(tmp_path) as store:
        assert store.records("ab" * 16)[-1].by == "worker"


async def test_an_answer_that_validators_refuse_is_stables_and_counts_without_cutting_off(
    tmp_path: Path, usecases: Path
) -> None:
    rollout = begun(tmp_path, usecases, changed(usecases, tmp_path / "next", PROMPT), "cloud", steps=(100.0,))
    async with served(tmp_path, UNSURE, chat=Prompted(leaky), usecases_dir=usecases, **FAST) as app:
        for i in range(12):
            one = await ask(app, f"person {i}")
            assert one["output"]["reply"] == "An answer."
            assert "eve@" not in str(one)
        record = await recorded(app, one)
        assert record["why"] == "weight"
        assert "refused" in record["failed"]
        with kept(tmp_path) as store:
            tallies = RolloutTallies(store.database)
            await soon(lambda: _hits(tallies.period(rollout)[0].candidate, "validator_failures") == 12)
            assert _hits(tallies.period(rollout)[0].candidate, "errors") == 0


def _hits(side: Any, metric: str) -> int:
    found = side.metrics.get(metric)
    return found.hits if found else -1


async def test_an_outage_that_stable_meets_too_is_not_the_candidates_fault(
    tmp_path: Path, usecases: Path
) -> None:
    begun(tmp_path, usecases, changed(usecases, tmp_path / "next", PROMPT), "cloud", steps=(100.0,))
    chat = Prompted(gone, error=TargetFailed("unreachable", "cannot be reached"))
    async with served(tmp_path, UNSURE, chat=chat, usecases_dir=usecases, **FAST) as app:
        for i in range(12):
            assert (await ask(app, f"person {i}"))["route"] == "safe_default"
        await asyncio.sleep(0.2)  # of several looks at the store
        assert state(tmp_path, "support/cloud") is State.CANARY


async def test_another_endpoint_falls_back_to_stables_own_and_both_are_paid(
    tmp_path: Path, usecases: Path
) -> None:
    """Of a candidate that asks another model, which writes no JSON, stable's model answers, and is named."""
    folder = changed(usecases, tmp_path / "next", NEWER)
    begun(tmp_path, usecases, folder, "cloud", steps=(100.0,))
    newer = FakeChat(name="newer", prices=Prices.from_usd(0.1, 0.2, 0.05), reply=chat_reply("I am a poem"))
    async with served(tmp_path, UNSURE, more={"newer": newer}, usecases_dir=usecases, **FAST) as app:
        one = await ask(app, "somebody")
        assert one["route"] == "cloud/primary"
        record = (await app.client.get(f"/v1/decisions/{one['id']}")).json()
        assert record["rollouts"][0]["failed"]
        assert len(newer.prompts) == len(app.chat.prompts) == 1
        mine = next(a for a in record["attempts"] if a["target"] == "cloud/primary")
        assert mine["cost_usd"] == pytest.approx(2 * (0.1 * 1000 + 0.2 * 100) / 1e6)
        newer.reply = chat_reply('{"reply": "Newer.", "intent": "out_of_scope"}')
        assert (await ask(app, "another"))["route"] == "cloud/newer"


async def test_an_endpoint_without_settings_is_said_and_nobody_gets_the_candidate(
    tmp_path: Path, usecases: Path
) -> None:
    folder = changed(usecases, tmp_path / "next", NEWER)
    begun(tmp_path, usecases, folder, "cloud", steps=(100.0,))
    async with served(tmp_path, UNSURE, usecases_dir=usecases, **FAST) as app:
        one = await ask(app, "somebody")
        assert one["route"] == "cloud/primary"
        assert (await recorded(app, one))["why"] == "unavailable"
        assert any("SWITCHYARD_ENDPOINTS" in warning for warning in app.runtime.readiness().warnings)


async def test_what_was_killed_does_not_answer_in_a_candidates_place(tmp_path: Path, usecases: Path) -> None:
    folder = changed(usecases, tmp_path / "next", NEWER)
    begun(tmp_path, usecases, folder, "cloud", steps=(100.0,))
    newer = FakeChat(name="newer", reply=chat_reply("I am a poem"), prices=Prices.from_usd(0.1, 0.2, 0.05))
    with kept(tmp_path) as store:
        turned = Turn(
            name="target:support/cloud/primary", killed=True, at_s=1.0, by="a test", reason="to see"
        )
        Switches(store.database).turn(turned)
    async with served(tmp_path, UNSURE, more={"newer": newer}, usecases_dir=usecases, **FAST) as app:
        assert (await ask(app, "somebody"))["route"] == "safe_default"
        assert app.chat.prompts == []


async def test_a_whole_configuration_is_served_to_its_share_and_stays_when_promoted(
    tmp_path: Path, usecases: Path
) -> None:
    """Until the folder has the same content, or another one."""
    folder = changed(usecases, tmp_path / "next", TEMPLATE)
    rollout = begun(tmp_path, usecases, folder, "config")
    async with served(tmp_path, usecases_dir=usecases, **FAST) as app:
        found = {(await ask(app, f"person {i}"))["versions"]["config"] for i in range(20)}
        assert found == {rollout.stable, rollout.candidate}
        wish(tmp_path, Move.ADVANCE, "support/config")
        wish(tmp_path, Move.ADVANCE, "support/config")
        assert state(tmp_path, "support/config") is State.PROMOTED

        async def serves(version: str) -> None:
            async with asyncio.timeout(20):
                for i in range(10_000):
                    if (await ask(app, f"{i}"))["versions"]["config"] == version:
                        return
                    await asyncio.sleep(0.02)

        await serves(rollout.candidate)
        await soon(lambda: any("rollout export" in one for one in app.runtime.readiness().warnings))
        name, old, new = TEMPLATE
        own = usecases / "support" / name
        own.write_text(own.read_text().replace(old, new, 1))  # the team takes it over
        await soon(lambda: not app.runtime.readiness().warnings)
        one = await ask(app, "somebody")
        assert one["versions"]["config"] == rollout.candidate
        assert "rollouts" not in (await app.client.get(f"/v1/decisions/{one['id']}")).json()


async def test_a_folder_that_changes_meanwhile_serves_and_the_rollout_says_that_it_is_moot(
    tmp_path: Path, usecases: Path
) -> None:
    """A team's urgent edit reaches everybody at once, whatever is being rolled out."""
    rollout = begun(
        tmp_path, usecases, changed(usecases, tmp_path / "next", TEMPLATE), "config", steps=(100.0,)
    )
    async with served(tmp_path, usecases_dir=usecases, **FAST) as app:
        assert (await ask(app, "somebody"))["versions"]["config"] == rollout.candidate
        yaml = usecases / "support" / "usecase.yaml"
        yaml.write_text(yaml.read_text().replace("timeout_s: 8", "timeout_s: 7"))
        await soon(lambda: any("abort the rollout" in w for w in app.runtime.readiness().warnings))
        assert (await ask(app, "somebody"))["versions"]["config"] not in (rollout.stable, rollout.candidate)


@pytest.mark.parametrize("how", HOW)
async def test_a_copy_that_does_not_hold_serves_nobody(tmp_path: Path, usecases: Path, how: str) -> None:
    changes = [TEMPLATE]
    if how == "another contract":
        changes.append(
            (
                "usecase.yaml",
                "intent: {type: string, values",
                "intent: {type: string, required: false, values",
            )
        )
    folder = changed(usecases, tmp_path / "next", *changes)
    files = {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    files = {name: content for name, content in files.items() if not name.startswith("data/")}
    from feature_checks.folders import folder_version

    home = tmp_path / "another" if how == "by another key" else tmp_path
    sealed = seal_config("support", folder_version(folder), files, RegistrySettings(home=home), by="a test")
    wire = json.loads(sealed)
    if how == "altered":
        wire["files"]["labels.txt"] = wire["files"]["policy.cedar"]
    elif how == "unsigned":
        wire["statement"] = wire["statement"].rpartition(".")[0] + "."
    elif how == "another version":
        wire = json.loads(seal_config("support", "0" * 12, files, RegistrySettings(home=home), by="a test"))
    begun(tmp_path, usecases, folder, "config", json.dumps(wire), steps=(100.0,))
    async with served(tmp_path, usecases_dir=usecases, **FAST) as app:
        one = await ask(app, "somebody")
        assert (await recorded(app, one))["why"] == "unavailable"
        assert any("support/config" in warning for warning in app.runtime.readiness().warnings)


async def test_shadow_asks_the_cloud_with_its_own_money_and_the_leave_of_policy(
    tmp_path: Path, usecases: Path
) -> None:
    """Its answers reach nobody; when its money is used up, stable goes on with its own."""
    rollout = begun(
        tmp_path, usecases, changed(usecases, tmp_path / "next", PROMPT, BUDGET), "cloud", advance=0
    )
    chat = Prompted(short, prices=Prices.from_usd(0.1, 0.2, 0.05))
    async with served(tmp_path, UNSURE, chat=chat, usecases_dir=usecases, **FAST) as app:
        with kept(tmp_path) as store:
            tallies = RolloutTallies(store.database)

            def compared() -> int:
                found = tallies.period(rollout)[0].candidate.metrics.get("errors")
                return found.n if found else 0

            async with asyncio.timeout(60):
                while compared() < 5:
                    assert (await ask(app, "somebody"))["output"]["reply"] == "An answer."
                    await asyncio.sleep(0.1)
            stable, candidate = (
                getattr(tallies.period(rollout)[0], s).metrics for s in ("stable", "candidate")
            )
        assert set(candidate) == set(stable) >= {"errors", "fallbacks", "latency", "cost", "disagreements"}
        assert chat.others <= 1 + 1000 // 120  # 0.001 USD, of which each copy takes 0.00012
        budgets = (await app.client.get("/v1/budgets")).json()
        assert "#shadow" not in str(budgets)  # no tenant's
        asked = chat.others
        app.policy.denied = {"cloud/primary"}
        for _ in range(5):
            await ask(app, "somebody")
        assert chat.others == asked


async def test_shadow_does_not_ask_what_was_killed_either(tmp_path: Path, usecases: Path) -> None:
    """Neither the model on this machine, in whose place it would have no answer of a cloud model to compare,
    nor an endpoint of its own."""
    rollout = begun(tmp_path, usecases, changed(usecases, tmp_path / "next", NEWER), "cloud", advance=0)
    newer = FakeChat(name="newer", prices=Prices.from_usd(0.0, 0.0, 0.0))

    def turn(name: str, killed: bool = True) -> None:
        with kept(tmp_path) as store:
            Switches(store.database).turn(Turn(name=name, killed=killed, at_s=1.0, by="a test", reason="-"))

    turn("target:support/local")
    turn("target:support/cloud/newer")
    async with served(tmp_path, more={"newer": newer}, usecases_dir=usecases, **FAST) as app:

        async def compared(times: int) -> None:
            async with asyncio.timeout(60):
                while shown(app.runtime.telemetry.page(), "compared") < times:
                    assert (await ask(app, "somebody"))["route"] == "cloud/primary"
                    await asyncio.sleep(0.05)

        await compared(3)
        assert newer.prompts == []
        turn("target:support/cloud/newer", killed=False)
        async with asyncio.timeout(60):
            while not newer.prompts:
                assert (await ask(app, "somebody"))["route"] == "cloud/primary"
                await asyncio.sleep(0.05)
    assert state(tmp_path, rollout.component) is State.SHADOW


async def test_a_shadow_that_hangs_in_the_cloud_holds_nothing_up(tmp_path: Path, usecases: Path) -> None:
    begun(tmp_path, usecases, changed(usecases, tmp_path / "next", PROMPT), "cloud", advance=0)
    chat = Prompted(hanging)
    async with served(tmp_path, UNSURE, chat=chat, usecases_dir=usecases, **FAST) as app:
        async with asyncio.timeout(60):
            while not shown(app.runtime.telemetry.page(), "dropped"):
                assert (await ask(app, "somebody"))["output"]["reply"] == "An answer."
                await asyncio.sleep(0.01)
        assert 1 <= chat.others <= 4  # its own lane; the endpoint stays open for all
        assert (await ask(app, "somebody"))["route"] == "cloud/primary"


async def test_a_configuration_in_shadow_runs_its_whole_plan_and_reaches_nobody(
    tmp_path: Path, usecases: Path
) -> None:
    rollout = begun(tmp_path, usecases, changed(usecases, tmp_path / "next", TEMPLATE), "config", advance=0)
    async with served(tmp_path, usecases_dir=usecases, **FAST) as app:
        with kept(tmp_path) as store:
            tallies = RolloutTallies(store.database)
            async with asyncio.timeout(60):
                while "errors" not in tallies.period(rollout)[0].candidate.metrics:
                    assert (await ask(app, "somebody"))["versions"]["config"] == rollout.stable
                    await asyncio.sleep(0.05)


async def test_two_rollouts_divide_the_same_people_each_by_its_own(tmp_path: Path, usecases: Path) -> None:
    """A model's, within the configuration that was drawn; the journal names both sides of each answer."""
    from tests.fakes import FakePredictor
    from tests.served import FakeVersions
    from tests.services.rollouts.kept import begin
    from tests.services.rollouts.test_dividing import CANDIDATE, LABELS, STABLE

    fakes = FakeVersions(v1=FakePredictor(LABELS, STABLE), v2=FakePredictor(LABELS, CANDIDATE))
    rollout = begun(
        tmp_path, usecases, changed(usecases, tmp_path / "next", TEMPLATE), "config", id="cd" * 16
    )
    begin(tmp_path)
    async with served(tmp_path, versions=fakes, usecases_dir=usecases, **FAST) as app:
        pairs = set()
        for i in range(40):
            one = await ask(app, f"person {i}")
            pairs.add((one["versions"]["config"] == rollout.candidate, one["output"]["intent"]))
            records = (await _record(app, one))["rollouts"]
            assert {r["component"] for r in records} == {"support/config", "support/local"}
    assert pairs == {(a, b) for a in (True, False) for b in (STABLE, CANDIDATE)}


async def _record(app: Served, one: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await app.client.get(f"/v1/decisions/{one['id']}")).json()
    return found
