"""Two tenants on one server: what one does is nothing that the other sees or pays for."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.served import Served, all_bytes, served

TEXT = "My card 4111 1111 1111 1111 is lost"


@pytest.fixture
async def app(home: Path) -> AsyncIterator[Served]:
    async with served(home, confidence=0.1) as running:
        yield running


async def as_tenant(app: Served, tenant: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {app.key('caller', 'auditor', tenant=tenant)}", **more}


async def decide(app: Served, headers: dict[str, str], **context: Any) -> httpx.Response:
    body = {"use_case": "support", "input": {"text": TEXT}, "context": context}
    answer = await app.client.post("/v1/decide", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


async def test_the_same_idempotency_key_and_body_of_two_tenants_are_two_requests(app: Served) -> None:
    """Neither gets the other's answer, nor learns that there is one."""
    acme, globex = [
        await as_tenant(app, name, **{"idempotency-key": "order-1"}) for name in ("acme", "globex")
    ]
    first, other, again = await decide(app, acme), await decide(app, globex), await decide(app, acme)
    assert again.json()["id"] == first.json()["id"] != other.json()["id"]
    assert "idempotent-replayed" not in other.headers


async def test_a_decision_is_found_by_its_own_tenant_alone(app: Served) -> None:
    """For another one it does not exist: the same words as for an id that nobody has."""
    acme, globex = await as_tenant(app, "acme"), await as_tenant(app, "globex")
    made = (await decide(app, acme)).json()["id"]
    assert (await app.client.get(f"/v1/decisions/{made}", headers=acme)).status_code == 200
    hidden = await app.client.get(f"/v1/decisions/{made}", headers=globex)
    missing = await app.client.get(f"/v1/decisions/{'0' * 32}", headers=globex)
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json()["error"]["message"] == missing.json()["error"]["message"]


async def test_people_of_two_tenants_cannot_be_joined(app: Served, home: Path) -> None:
    """The same subject has another hash in each tenant's records."""
    hashes = {}
    for tenant in ("acme", "globex"):
        headers = await as_tenant(app, tenant)
        for _ in range(2):
            made = (await decide(app, headers, subject="anna@example.org")).json()["id"]
            record = (await app.client.get(f"/v1/decisions/{made}", headers=headers)).json()
            subject = record["request"]["subject"]
            assert hashes.setdefault(tenant, subject) == subject
    assert hashes["acme"] != hashes["globex"]
    assert b"anna@example.org" not in all_bytes(home)


async def test_a_budget_that_one_tenant_used_up_is_there_for_the_other(app: Served) -> None:
    """The reasons name the budget for one; the other's request goes to the cloud."""
    acme, globex = await as_tenant(app, "acme"), await as_tenant(app, "globex")
    budget = app.runtime.pipeline.use_cases["support"].usecase.cloud
    assert budget is not None
    store = app.runtime.pipeline.use_cases["support"].targets["cloud/primary"]._budgets._store  # type: ignore[attr-defined]  # the counters behind it
    day = round(budget.budget.usd_per_day * 1e9)
    from services.state.counters import Claim

    reply = await store.reserve(Claim("acme", "support", "r", "a"), day, 60_000, day, day)
    assert reply.outcome == "granted"
    refused, served_ = (await decide(app, acme)).json(), (await decide(app, globex)).json()
    assert refused["route"] == "safe_default"
    assert any("budget" in reason for reason in refused["reasons"])
    assert served_["route"] == "cloud/primary"


async def test_a_rate_that_one_tenant_used_up_is_there_for_the_other(home: Path) -> None:
    async with served(home, requests_per_minute_per_tenant=2) as app:
        acme, globex = await as_tenant(app, "acme"), await as_tenant(app, "globex")
        codes = [(await app.client.get("/v1/models", headers=acme)).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        assert (await app.client.get("/v1/models", headers=globex)).status_code == 200
