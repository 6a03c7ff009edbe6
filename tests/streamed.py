"""The whole API on a real socket, with a use case whose answers go out while they are written."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import openai
import uvicorn
import yaml

from services.api.app import Dispatcher
from services.api.mount import Api
from services.bootstrap import Edges, bootstrap
from services.journal_reader import read_entries
from services.privacy.detect import Detector, build_detector
from services.runtime import Runtime
from services.settings import EndpointSettings, load_settings
from services.state.sqlite_counters import SqliteCounters
from tests.fakes import REPOSITORY, FakePolicy, FakePredictor, support
from tests.scripted_endpoint import ScriptedEndpoint
from tests.served import FakePlaced, issue_key

ASKED: Any = [{"role": "user", "content": "Block my card 4111 1111 1111 1111, please."}]
PLAIN = "Your card is on its way to you and should be with you very soon. "


def incremental(folder: Path, **cloud: Any) -> Path:
    """The shipped use case with `streaming: incremental` and what else `cloud` says."""
    shutil.copytree(REPOSITORY / "usecases", folder / "usecases")
    file = folder / "usecases" / "support" / "usecase.yaml"
    content = yaml.safe_load(file.read_text())
    changes = {name: cloud.pop(name) for name in ("verify", "plan") if name in cloud}
    content["cloud"] |= {"streaming": "incremental", **cloud}
    file.write_text(yaml.safe_dump({**content, **changes}))
    return folder / "usecases"


@dataclass
class Streamed:
    """A running server, the endpoint behind it, and the official client in front of it."""

    url: str
    runtime: Runtime
    endpoint: ScriptedEndpoint
    client: openai.AsyncOpenAI

    async def stream(self, **more: Any) -> Any:
        return await self.client.chat.completions.create(model="support", messages=ASKED, stream=True, **more)

    async def read(self, **more: Any) -> tuple[str, list[Any], openai.APIError | None]:
        """The text until the end, all chunks, and how the client says that it broke off."""
        chunks: list[Any] = []
        error = None
        try:
            async for chunk in await self.stream(**more):
                chunks.append(chunk)
        except openai.APIError as raised:
            error = raised
        return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks, error

    def records(self, kind: str) -> list[Any]:
        return [e.record for e in read_entries(self.runtime.settings.journal_dir) if e.record["kind"] == kind]

    async def runtime_use(self) -> Any:
        """What of today's budget is spent and held."""
        counters = SqliteCounters(self.runtime.settings.counters_db, timeout_s=10)
        try:
            return await counters.use("acme", "support")
        finally:
            await counters.close()

    async def recorded(self, kind: str, count: int = 1) -> list[Any]:
        """Once there are so many."""
        return await once(lambda: found if len(found := self.records(kind)) >= count else None)


async def once(look: Callable[[], Any]) -> Any:
    """What `look` finds, as soon as it finds something."""
    async with asyncio.timeout(20):
        while (found := look()) is None:  # noqa: ASYNC110  — a file and a foreign server set no event
            await asyncio.sleep(0.01)
    return found


@asynccontextmanager
async def streamed(home: Path, answer: str = PLAIN * 12, **how: Any) -> AsyncIterator[Streamed]:
    """`how`: settings of the server by their names, and of the use case's cloud section in `cloud`."""
    usecases = incremental(home.parent, **how.pop("cloud", {}))
    predictor = FakePredictor(support().labels, support().labels[0], 0.1)
    with ScriptedEndpoint({"reply": answer, "intent": "out_of_scope"}) as endpoint:
        endpoint.will("stream")
        configured = EndpointSettings(
            base_url=endpoint.url, model="scripted", usd_per_million_input=0.1, usd_per_million_output=0.2
        )
        settings = load_settings(home=home, usecases_dir=usecases, endpoints={"primary": configured}, **how)
        edges = Edges(placed=FakePlaced(predictor), policy=lambda _: FakePolicy(), detector=_detector())
        api = Api()
        async with bootstrap(settings, edges) as runtime:
            dispatcher = Dispatcher(runtime)
            api.start(dispatcher, dispatcher.ready)
            async with _listening(api) as url:
                key = issue_key(runtime, "caller")
                async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
                    yield Streamed(url, runtime, endpoint, client)


@cache
def _detector() -> Detector:
    return build_detector()  # takes a second, and holds nothing


@asynccontextmanager
async def _listening(api: Api) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(api, port=0, lifespan="off", log_level="warning"))
    task = asyncio.create_task(server.serve())
    await once(lambda: server.started or None)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
