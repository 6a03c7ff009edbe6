"""What an auditor lists: decisions of the own tenant, today's spending, rollouts. Bounded, and redacted."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from registry.rollout import Rollout, started
from registry.rollout_store import Rollouts
from tests.served import Served, served
from tests.services.api.test_decide import error_of

TEXT = "My card 4111 1111 1111 1111 is lost"


@pytest.fixture
async def app(home: Path) -> AsyncIterator[Served]:
    async with served(home, shipping_s=0.05) as running:
        yield running


async def listed(app: Served, query: str = "", key: str | None = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return await app.client.get(f"/v1/decisions{query}", headers=headers)


async def shipped(app: Served, count: int) -> list[dict[str, Any]]:
    """The list, once that many decisions are in it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found: list[dict[str, Any]] = (await listed(app)).json()["decisions"]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("the decisions were not shipped")


async def test_an_auditor_lists_decisions_newest_first_and_redacted(app: Served) -> None:
    first, last = (await app.decide(TEXT)).json(), (await app.decide("Where is my card?")).json()
    found = await shipped(app, 2)
    assert [one["id"] for one in found] == [last["id"], first["id"]]
    assert found[1]["input"] == {"text": "My card <CARD_1> is lost"}
    assert (found[0]["route"], found[0]["cost_usd"]) == (last["route"], 0.0)
    assert found[0]["latency_ms"] > 0
    assert "4111 1111" not in (await listed(app)).text


async def test_pages_follow_each_other_without_gap_or_repeat(app: Served) -> None:
    made = [(await app.decide(f"Where is my card {n}?")).json()["id"] for n in range(5)]
    await shipped(app, 5)
    pages, query = [], "?limit=2"
    while query:
        page = (await listed(app, query)).json()
        pages.append([one["id"] for one in page["decisions"]])
        query = f"?limit=2&before={page['next']}" if page["next"] else ""
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [one for page in pages for one in page] == made[::-1]


async def test_another_tenant_sees_nothing_not_even_behind_a_foreign_id(app: Served) -> None:
    made = (await app.decide("Where is my card?")).json()["id"]
    await app.decide("Where is my card?")
    await shipped(app, 2)
    other = app.key("auditor", tenant="globex")
    for query in ("", f"?before={made}", "?use_case=support"):
        assert (await listed(app, query, other)).json() == {"decisions": [], "next": None}
    assert (await listed(app, "?use_case=other")).json()["decisions"] == []


@pytest.mark.parametrize("path", ["decisions", "budgets", "rollouts"])
async def test_only_auditors_may_list(app: Served, path: str) -> None:
    headers = {"authorization": f"Bearer {app.key('caller', 'reviewer', 'operator')}"}
    assert (await app.client.get(f"/v1/{path}", headers=headers)).status_code == 403
    assert (await app.client.get(f"/v1/{path}", headers={"authorization": ""})).status_code == 401


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "before=x", "sort=at"])
async def test_a_query_out_of_bounds_is_refused_and_not_repeated(app: Served, query: str) -> None:
    assert error_of(await listed(app, f"?{query}"), 422)


async def test_without_the_decisions_database_the_list_says_so(home: Path) -> None:
    async with served(home, shipping=False) as app:
        assert "SWITCHYARD_SHIPPING" in error_of(await listed(app), 503)


async def test_the_budget_tells_what_of_the_day_is_spent(home: Path) -> None:
    """A cloud answer costs something; another tenant's day is untouched by it."""
    async with served(home, confidence=0.1) as app:
        assert (await app.decide("Where is my card?")).json()["route"] == "cloud/primary"
        unused, mine = (await app.client.get("/v1/budgets")).json()["budgets"]
        assert (unused["use_case"], unused["spent_usd"]) == ("fraud", 0)
        assert 0 < mine["spent_usd"] < mine["usd_per_day"]
        assert (mine["use_case"], mine["level"]) == ("support", "open")
        headers = {"authorization": f"Bearer {app.key('auditor', tenant='globex')}"}
        others = (await app.client.get("/v1/budgets", headers=headers)).json()["budgets"]
        assert [other["spent_usd"] for other in others] == [0, 0]


async def test_rollouts_are_listed_with_their_moves_and_looking_makes_no_file(app: Served) -> None:
    home = app.runtime.settings.home
    assert (await app.client.get("/v1/rollouts")).json() == {"rollouts": []}
    assert not (home / "rollouts.db").exists()
    rollout = Rollout(id="a" * 32, component="support/local", stable="1", candidate="2", step_since_s=1.0)
    with Rollouts(home / "rollouts.db") as store:
        store.start(rollout, started(rollout, by="ann", reason="better on slices"))
    (found,) = (await app.client.get("/v1/rollouts")).json()["rollouts"]
    assert (found["state"], found["candidate"], found["weight_percent"]) == ("shadow", "2", 0.0)
    assert (found["moves"][0]["by"], found["moves"][0]["reason"]) == ("ann", "better on slices")
