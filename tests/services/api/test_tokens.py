"""Tokens of an identity provider at the API itself: keys over HTTP, one request, and what is left of it."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from services.oidc_settings import OidcSettings
from services.values import Call, Caller
from tests.served import all_bytes, served
from tests.services.test_jwks_source import web
from tests.services.test_oidc import CLAIMS, SETTINGS, token


def fresh() -> dict[str, Any]:
    """Claims that hold from now on: a suite may get here long after it read this file."""
    now = int(time.time())
    return {**CLAIMS, "exp": now + 600, "nbf": now - 10, "iat": now - 10}


async def test_a_token_opens_the_api_and_leaves_no_trace(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Answered for the token's tenant; neither token nor subject in state, journal, log, metric or answer."""
    caplog.set_level(logging.DEBUG)
    with web() as url:
        oidc = OidcSettings(**{**SETTINGS, "jwks_url": f"{url}/good"})
        async with served(home, oidc=oidc) as app:
            good, bad = token(fresh()), token({**fresh(), "aud": "other"})
            app.client.headers["authorization"] = f"Bearer {good}"
            answer = await app.decide()
            assert answer.status_code == 200
            assert (await app.client.get(f"/v1/decisions/{answer.json()['id']}")).status_code == 403
            app.client.headers["authorization"] = f"Bearer {bad}"
            refused = await app.decide()
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            metrics = (await app.client.get("/metrics")).text
            logs = "\n".join(record.getMessage() for record in caplog.records)
            for secret in (good.split(".")[1], good.split(".")[2], bad.split(".")[1], "anna@example.org"):
                for sink in (
                    metrics,
                    logs,
                    answer.text,
                    refused.text,
                    all_bytes(home).decode("utf-8", "replace"),
                ):
                    assert secret not in sink


async def test_without_the_providers_keys_tokens_are_told_so_and_api_keys_work(home: Path) -> None:
    """503 with a reason, not a 500 and not a yes."""
    oidc = OidcSettings(**{**SETTINGS, "jwks_url": "http://127.0.0.1:9/none"})
    async with served(home, oidc=oidc) as app:
        assert (await app.decide()).status_code == 200
        app.client.headers["authorization"] = f"Bearer {token(fresh())}"
        answer = await app.decide()
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "identity_unavailable")


async def test_time_at_the_door_counts_against_the_callers_deadline(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A door that waits (for keys, or for Redis) leaves less time for the answer: it is not late."""
    async with served(home, confidence=0.1) as app:
        admit, seen = app.runtime.ingress.admit, []

        async def waits(*args: Any) -> Caller:
            await asyncio.sleep(0.05)
            return await admit(*args)

        async def ask(call: Call, *rest: Any) -> Any:
            seen.append(call.deadline - time.monotonic())
            return await decide(call, *rest)

        decide = app.runtime.pipeline.decide
        monkeypatch.setattr(app.runtime.ingress, "admit", waits)
        monkeypatch.setattr(app.runtime.pipeline, "decide", ask)
        assert (await app.decide(context={"max_latency_ms": 1000})).status_code == 200
    assert seen[0] <= 0.95
