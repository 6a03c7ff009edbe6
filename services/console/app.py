"""Builds the console's ASGI app: sign-in, pages, the watch on metrics, and the door in front of all."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from nicegui import ui

from services.console.client import ApiClient
from services.console.door import Door
from services.console.pages import decisions, overview, reviews, rollouts
from services.console.pages.frame import Console
from services.console.sessions import Sessions
from services.console.sign_in import add_sign_in
from services.console.watch import Watch


def build(api_url: str, hosts: Collection[str]) -> Door:
    """Once for each process: nicegui keeps its pages in one place for all."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every call, each few seconds
    api = ApiClient(api_url)
    console = Console(api, Sessions(), Watch(api))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(console.watch.run())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await api.aclose()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    add_sign_in(app, api, console.sessions)
    for page in (overview, decisions, reviews, rollouts):
        page.add(console)
    ui.run_with(app, title="Switchyard", show_welcome_message=False)
    return Door(app, console.sessions, hosts)
