"""The console as `switchyard up` starts it: a process of its own, over the real API."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from flows.processes import Server, console, free_port
from tests.served import Served, all_bytes, served

pytestmark = pytest.mark.integration
SECRET = "4111 1111 1111 1111"


@asynccontextmanager
async def listening(app: Served) -> AsyncIterator[str]:
    """The API of this process on a port of its own."""
    port = free_port(0)
    server = uvicorn.Server(uvicorn.Config(app.api, port=port, lifespan="off", log_level="error"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
        assert not task.done()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task


@asynccontextmanager
async def opened(scratch: Path, api: str) -> AsyncIterator[tuple[httpx.AsyncClient, Server]]:
    port = free_port(0)
    with console(scratch, port, api) as server:
        server.start_timeout_s = 150
        await asyncio.to_thread(server.wait_ready)
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            client.headers["origin"] = url
            yield client, server


async def signed_in(client: httpx.AsyncClient, key: str) -> httpx.Response:
    client.cookies.clear()
    return await client.post("/sign-in", data={"key": key})


async def test_a_person_signs_in_sees_decisions_and_leaves(home: Path, tmp_path: Path) -> None:
    """One story, since a process takes seconds to start: refused, let in, shown, redacted, stopped."""
    async with (
        served(home, shipping_s=0.05) as app,
        listening(app) as api,
        opened(tmp_path, api) as (web, server),
    ):
        made = (await app.decide(f"My card {SECRET} is lost")).json()
        assert (await web.get("/")).headers["location"] == "/sign-in"
        assert "API key" in (await web.get("/sign-in")).text
        for key, status in (("sk-wrong", 401), (app.key("caller"), 403), ("", 422), ("x" * 9000, 422)):
            refused = await signed_in(web, key)
            assert (refused.status_code, "set-cookie" in refused.headers) == (status, False), key[:8]

        auditor = app.key("auditor", "reviewer")
        entered = await signed_in(web, auditor)
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert auditor not in str(entered.headers)

        page = await web.get("/")
        assert "Local coverage" in page.text
        assert "Cost today" in page.text
        for _ in range(3000):
            page = await web.get("/decisions")
            if made["id"] in page.text:
                break
            await asyncio.sleep(0.02)
        assert "is lost" in page.text
        one = (await web.get(f"/decisions/{made['id']}")).text
        assert "answered" in one
        assert "CARD_1" in one
        assert made["versions"]["config"] in one
        assert "Nothing waits" in (await web.get("/reviews")).text
        assert "No rollout yet" in (await web.get("/rollouts")).text
        foreign = app.key("auditor", tenant="globex")

        assert SECRET not in page.text + one
        assert (await web.post("/sign-out")).headers["location"] == "/sign-in"
        assert (await web.get("/decisions")).status_code == 303

        await signed_in(web, foreign)
        assert made["id"] not in (await web.get("/decisions")).text
        assert "there is no decision with this id" in (await web.get(f"/decisions/{made['id']}")).text.lower()

        assert server._process is not None
        os.kill(server._process.pid, signal.SIGINT)
        assert await asyncio.to_thread(server._process.wait, 60) is not None
        kept = all_bytes(tmp_path / "logs")
        assert auditor.encode() not in kept
        assert SECRET.encode() not in kept


async def test_without_an_orchestrator_the_console_says_what_is_away(tmp_path: Path) -> None:
    async with opened(tmp_path, f"http://127.0.0.1:{free_port(0)}") as (web, _):
        refused = await signed_in(web, "sk-some")
        assert refused.status_code == 503
        assert "is not reached" in refused.text
