"""The whole API in the test's own process: real pipeline, journal and receipts; fakes at the edges."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from registry.errors import ModelNotFound
from registry.loading import LoadedModel
from registry.records import Acceptance, ModelRef, Relaxed
from services import keys
from services.api.app import Dispatcher
from services.api.mount import Api
from services.bootstrap import Edges, bootstrap
from services.prices import Prices
from services.runtime import Runtime
from services.settings import load_settings
from services.state.api_keys import ApiKeys
from services.state.database import Database
from services.state.sqlite_counters import SqliteCounters
from tests.fakes import REPOSITORY, FakeChat, FakePolicy, FakePredictor, support


@dataclass
class FakePlaced:
    """`services.model_shelf.Placed`: one model for whatever name, or `error`."""

    predictor: FakePredictor
    threshold: float = 0.8
    version: int = 1
    error: Exception | None = None
    relaxed: tuple[float, float] | None = None

    def revoked(self, loaded: LoadedModel) -> bool:
        return False

    def refused(self, name: str) -> str | None:
        return None

    def ref(self, name: str) -> ModelRef:
        if self.error:
            raise self.error
        return ModelRef(name, self.version, f"{self.version:x}" * 64)

    def load(self, name: str) -> LoadedModel:
        relaxed = Relaxed(threshold=self.relaxed[0], max_error=self.relaxed[1]) if self.relaxed else None
        acceptance = Acceptance(
            threshold=self.threshold, max_error=0.02, confidence=0.95, method="fake", relaxed=relaxed
        )
        return LoadedModel(
            ref=self.ref(name),
            predictor=self.predictor,
            acceptance=acceptance,
            labels=self.predictor.labels,
            inputs=("text",),
            kind="text_classifier",
            key_id="fake",
            contract_version="fake",
        )


class FakeVersions:
    """`services.rollouts.sides.Versions`: a predictor for each version; what is not there is not found."""

    def __init__(self, **predictors: FakePredictor) -> None:
        self.placed = {
            name.removeprefix("v"): FakePlaced(predictor, version=int(name.removeprefix("v")))
            for name, predictor in predictors.items()
        }
        self.leads: str | None = "1"

    def load(self, name: str, version: str) -> LoadedModel:
        if version not in self.placed:
            raise ModelNotFound(f"version {version} is not placed")
        return self.placed[version].load(name)

    def revoked(self, loaded: LoadedModel) -> bool:
        return str(loaded.ref.version) not in self.placed

    def champion(self, name: str) -> str | None:
        return self.leads


@dataclass
class Served:
    """A running API. `client` has a key with every role; `key(…)` issues others."""

    api: Api
    runtime: Runtime
    client: httpx.AsyncClient
    chat: FakeChat
    predictor: FakePredictor
    placed: FakePlaced
    policy: FakePolicy = field(default_factory=FakePolicy)

    def key(self, *roles: str, tenant: str = "acme", days: int = 30) -> str:
        return issue_key(self.runtime, *roles, tenant=tenant, days=days)

    async def decide(self, text: str = "Where is my card?", **changes: Any) -> httpx.Response:
        body = {"use_case": "support", "input": {"text": text}, **changes}
        return await self.client.post("/v1/decide", json=body)


def issue_key(runtime: Runtime, *roles: str, tenant: str = "acme", days: int = 30) -> str:
    key, record = keys.issue(tenant, roles or ("caller",), keys.utc_now(), days)
    with Database(runtime.settings.state_db) as database:
        ApiKeys(database).add(record)
    return key


def all_bytes(folder: Path) -> bytes:
    """Every byte of every file under a folder: what a search for planted secrets walks."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@asynccontextmanager
async def served(
    home: Path,
    confidence: float = 0.99,
    versions: FakeVersions | None = None,
    chat: FakeChat | None = None,
    more: Mapping[str, FakeChat] | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """The API with the shipped use case, a local model of that confidence, one fake endpoint, and `more`."""
    usecase = support()
    predictor = FakePredictor(usecase.labels, usecase.labels[0], confidence)
    chat = chat or FakeChat(prices=Prices.from_usd(0.1, 0.2, 0.05))  # within the use case's usd_per_request
    placed, policy = FakePlaced(predictor), FakePolicy()
    configured = load_settings(home=home, **{"usecases_dir": REPOSITORY / "usecases", **settings})
    edges = Edges(
        placed=placed,
        endpoints={"primary": chat, **(more or {})},
        policy=lambda _: policy,
        versions=versions,
        counters=SqliteCounters(configured.counters_db, timeout_s=20.0) if not configured.redis_url else None,
    )  # a patient file: a disk that is slow just now is no property of the code
    api = Api()
    async with bootstrap(configured, edges) as runtime:
        dispatcher = Dispatcher(runtime)
        api.start(dispatcher, dispatcher.ready)
        transport = httpx.ASGITransport(app=api, client=("127.0.0.1", 50000))
        async with httpx.AsyncClient(transport=transport, base_url="http://switchyard") as client:
            running = Served(api, runtime, client, chat, predictor, placed, policy)
            client.headers["authorization"] = f"Bearer {running.key(*keys.ROLES)}"
            yield running
