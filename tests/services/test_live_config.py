"""Use cases and policies that change under a running service: taken up or refused, never half and half."""

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.bootstrap import Edges, bootstrap
from services.settings import load_settings
from services.values import Caller
from tests.fakes import REPOSITORY, FakeChat, envelope_of
from tests.served import Served, served


@pytest.fixture
def usecases(tmp_path: Path) -> Path:
    """The shipped use case, where a test may change it."""
    folder = tmp_path / "usecases"
    shutil.copytree(REPOSITORY / "usecases" / "support", folder / "support")
    return folder


def change(usecases: Path, file: str, old: str, new: str) -> None:
    path = usecases / "support" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  — nothing announces it
            await asyncio.sleep(0.01)


def state(app: Served) -> dict[str, object]:
    return dict(app.runtime.readiness().use_cases["support"])


async def version(app: Served) -> object:
    return (await app.decide()).json()["versions"]["config"]


async def test_a_changed_use_case_is_served_without_a_restart_and_tells_its_version(
    home: Path, usecases: Path
) -> None:
    """In the answer, in readiness and in the metrics, the same one."""
    async with served(home, usecases_dir=usecases, model_poll_s=0.02) as app:
        before = await version(app)
        change(usecases, "usecase.yaml", "max_length: 2000, tags", "max_length: 10, tags")
        await until(lambda: state(app)["config"] != before)
        refused = await app.decide("Where is my new card?")
        assert refused.status_code == 422
        answer = (await app.decide("My card?")).json()
        assert answer["versions"]["config"] == state(app)["config"]
        metrics = (await app.client.get("/metrics")).text
        assert f'switchyard_config_info{{use_case="support",version="{state(app)["config"]}"}} 1.0' in metrics
        assert f'switchyard_config_info{{use_case="support",version="{before}"}} 0.0' in metrics
        assert '"maxLength":10' in (await app.client.get("/v1/openapi.json")).text


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("usecase.yaml", "label: intent", "label: intent\nsecret_4111111111111111: x"),
        ("usecase.yaml", "plan: [rules", "plan: [magic"),
        ("prompts/reply.md", "{{ text }}", "{{ telephone }}"),
        ("rules.json", "{", ""),
        ("reply.schema.json", '"required"', '"needed"'),
    ],
)
async def test_an_invalid_change_is_refused_and_the_old_goes_on(
    home: Path, usecases: Path, file: str, old: str, new: str
) -> None:
    """Readiness and a metric say so, without a word of what the file holds; the service stays ready."""
    async with served(home, usecases_dir=usecases, model_poll_s=0.02) as app:
        before = await version(app)
        change(usecases, file, old, new)
        await until(lambda: "config_refused" in state(app))
        assert state(app)["config"] == before
        assert app.runtime.readiness().ready
        assert "4111111111111111" not in str(
            state(app)
        )  # whole: a digest may hold four of its digits by chance
        assert await version(app) == before
        await until(
            lambda: app.runtime.telemetry.page().count(b'config_refused{use_case="support"} 1.0') == 1
        )
        change(usecases, file, new, old)
        await until(lambda: "config_refused" not in state(app))
        await until(
            lambda: app.runtime.telemetry.page().count(b'config_refused{use_case="support"} 0.0') == 1
        )
        assert await version(app) == before


async def test_a_changed_access_policy_decides_the_next_request(home: Path, usecases: Path) -> None:
    """With the real policy: what was permitted is forbidden, and a broken policy changes nothing."""
    settings = load_settings(home=home, usecases_dir=usecases, model_poll_s=0.02)
    async with bootstrap(settings, Edges(endpoints={"primary": FakeChat()})) as runtime:

        def permits() -> bool:
            prepared = runtime.pipeline.use_cases["support"]
            envelope = replace(envelope_of(prepared.usecase, text="hello"), tags=frozenset({"user_content"}))
            return prepared.permits(prepared.targets["cloud/primary"], envelope).allowed

        assert permits()
        forbid = (
            '\n@id("nothing-leaves")\nforbid (principal, action, resource)\nwhen { !resource.on_premises };\n'
        )
        policy = usecases / "support" / "policy.cedar"
        good = policy.read_text()
        policy.write_text(good + forbid)
        await until(lambda: not permits())
        policy.write_text(good + "\npermit (principal, action, resource) when { resource.is_friendly };\n")
        await until(lambda: "config_refused" in runtime.readiness().use_cases["support"])
        assert not permits(), "the policy that forbids goes on"


async def test_a_new_use_case_is_served_and_a_removed_one_is_not_found(home: Path, usecases: Path) -> None:
    async with served(home, usecases_dir=usecases, model_poll_s=0.02) as app:
        shutil.copytree(usecases / "support", usecases / "claims")
        yaml = usecases / "claims" / "usecase.yaml"
        yaml.write_text(yaml.read_text().replace("name: support", "name: claims", 1))
        await until(lambda: "claims" in app.runtime.pipeline.use_cases)
        body = {"use_case": "claims", "input": {"text": "My card?"}}
        assert (await app.client.post("/v1/decide", json=body)).status_code == 200
        shutil.rmtree(usecases / "claims")
        await until(lambda: "claims" not in app.runtime.pipeline.use_cases)
        assert (await app.client.post("/v1/decide", json=body)).status_code == 404


async def test_a_request_is_answered_by_the_version_that_it_was_read_for(home: Path, usecases: Path) -> None:
    """It waits for a place, or for nothing but its turn, while the configuration changes."""
    async with served(home, usecases_dir=usecases, model_poll_s=0.02) as app:
        before = await version(app)
        caller = Caller("acme", "key", frozenset({"caller"}))
        body = {"use_case": "support", "input": {"text": "Where is my card?"}}
        read = app.runtime.calls.read(body, "a" * 32, caller, time.monotonic())
        change(usecases, "usecase.yaml", "max_length: 2000, tags", "max_length: 10, tags")
        await until(lambda: state(app)["config"] != before)
        answer = await app.runtime.pipeline.decide(read)
        assert answer.versions["config"] == before


async def test_requests_under_way_never_fail_while_the_configuration_changes(
    home: Path, usecases: Path
) -> None:
    """Twenty changes, good and bad in turn, under steady traffic."""
    async with served(home, usecases_dir=usecases, model_poll_s=0.005) as app:
        seen: set[int] = set()
        done = asyncio.Event()

        async def traffic() -> None:
            while not done.is_set():
                seen.add((await app.decide()).status_code)
                await asyncio.sleep(0)  # an answer in this process may come without ever giving way

        clients = [asyncio.create_task(traffic()) for _ in range(4)]
        yaml = usecases / "support" / "usecase.yaml"
        good = yaml.read_text()
        for turn in range(20):
            yaml.write_text(good + (f"# {turn}\n" if turn % 2 else f"nonsense_{turn}: 1\n"))
            await asyncio.sleep(0.03)
        done.set()
        await asyncio.gather(*clients)
        assert seen == {200}
