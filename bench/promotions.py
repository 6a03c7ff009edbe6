"""Promotions under load, for the bench and for tests: versions in MLflow, signed moves, steady callers."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.candidates import as_it_is, make_candidate
from bench.sample_model import make_sample_package
from feature_checks.usecase import UseCase
from flows.processes import free_port, orchestrator
from registry.promoting import meant, promote, promoting
from registry.promotion import Gate, PromotionDecision
from registry.records import ModelRef
from registry.settings import RegistrySettings
from registry.store import Registry
from services import keys
from services.state.api_keys import ApiKeys
from services.state.database import Database


class Versions:
    """Two signed versions of one model in MLflow, of which the first leads; `lead` promotes by the log."""

    def __init__(self, home: Path, usecase: UseCase, scratch: Path, threshold: float, labels: int) -> None:
        self._settings = RegistrySettings(home=home)
        self._registry = Registry(self._settings)
        first = make_sample_package(home, usecase, scratch, threshold, labels=labels)
        second = make_candidate(first, scratch / "second", as_it_is, self._settings)
        assert usecase.local is not None
        name, tags = usecase.local.model, {"use_case": usecase.name}
        self.refs = [self._registry.register(folder, name, {}, tags) for folder in (first, second)]
        self.lead(self.refs[0])

    def lead(self, ref: ModelRef) -> None:
        """Move `champion`: logged and signed, then in MLflow, then placed here."""
        with promoting(ref.name, self._settings):
            before = meant(ref.name, "champion", self._registry)
            decision = PromotionDecision((Gate("bench", False, "measured, not judged"),))
            promote(
                ref, "champion", decision, before, self._settings, self._registry,
                by="bench", override="to measure",
            )  # fmt: skip


@dataclass
class Callers:
    """What steady callers saw: (when asked, when answered, digest of the model) and what went wrong."""

    seen: list[tuple[float, float, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def last_other(self, digest: str, since: float) -> float:
        """Seconds from `since` to the last answer, asked after it, by another model than `digest`."""
        late = [answered for asked, answered, by in self.seen if asked >= since and by != digest]
        return max(late, default=since) - since


@contextmanager
def asking(home: Path) -> Iterator[httpx.Client]:
    """A client of an orchestrator that serves `home` with default settings, as `switchyard up` starts it."""
    key, record = keys.issue("bench", ("caller",), keys.utc_now())
    with Database(home / "state.db") as database:
        ApiKeys(database).add(record)
    port = free_port(0)
    with orchestrator(home, port, {"SWITCHYARD_HOME": str(home)}) as server:
        server.wait_ready()
        headers = {"authorization": f"Bearer {key}"}
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
            yield client


@contextmanager
def calling(client: httpx.Client, usecase: str, text: str, callers: int, pause_s: float) -> Iterator[Callers]:
    """So many callers, each request on a connection of its own, so that every worker is asked."""
    found, stop = Callers(), threading.Event()
    body = {"use_case": usecase, "input": {"text": text}}

    def call() -> None:
        while not stop.wait(pause_s):
            asked = time.monotonic()
            try:
                answer = client.post("/v1/decide", json=body, headers={"connection": "close"})
                said = answer.json()
            except (httpx.HTTPError, ValueError) as error:
                found.failed.append(type(error).__name__)
                continue
            if answer.status_code != 200 or said["route"] != "local":
                found.failed.append(f"{answer.status_code} {said.get('route')}")
                continue
            found.seen.append((asked, time.monotonic(), said["versions"]["model"]))

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def moves(versions: Versions, callers: Callers, count: int, settle_s: float) -> list[float]:
    """Let the two lead in turn; seconds from each signed promotion's end to the last answer by the other."""
    reached = []
    for ref in itertools.islice(itertools.cycle((versions.refs[1], versions.refs[0])), count):
        versions.lead(ref)
        since = time.monotonic()
        time.sleep(settle_s)
        reached.append(callers.last_other(ref.digest, since))
    return reached
