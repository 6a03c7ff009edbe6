"""Clients that send without a pause while a test breaks things, and what must be true of what they got."""

import base64
import itertools
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from bench.sample_model import place_sample_model
from services.journal_reader import read_entries
from services.receipt_check import check_answer, verify_receipt
from tests.fakes import REPOSITORY, support
from tests.integration.serving import Serving

PACE_S = 0.02
"""Between two requests of one client: these tests are about faults, and a new worker needs the processor."""


def sure_text() -> str:
    """A message that the sample model is sure of: one that it was trained on."""
    lines = (REPOSITORY / "usecases" / "support" / "data" / "messages.csv").read_text().splitlines()[1:]
    label = min(line.rsplit(",", 1)[1] for line in lines)
    return next(line for line in lines if line.endswith(label)).rsplit(",", 1)[0].strip('"')


def place_model(home: Path, scratch: Path) -> None:
    """A signed model of the shipped use case, so that some answers are local and the rest go to the cloud."""
    place_sample_model(home, support(), scratch / "model", threshold=0.9, labels=8)


@dataclass
class Got:
    """What all clients got until now. `broken` are connections that broke, by what httpx calls it."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    unanswered: list[str] = field(default_factory=list)  # texts that no try got an answer to
    texts: set[str] = field(default_factory=set)  # texts that were answered with 200
    workers: set[int] = field(default_factory=set)  # process ids that answered


class Load:
    """`clients` threads, used with `with`. Each request has a text of its own; a connection that breaks is
    tried `tries` times at once, on a new connection: what any HTTP client does. They stop
    after `most` requests."""

    def __init__(
        self,
        server: Serving,
        clients: int,
        tries: int = 2,
        most: int = 1_000_000,
        only_cloud: bool = False,
    ) -> None:
        self.got = Got()
        self._tenant = f"t{uuid4().hex[:12]}"
        self._only_cloud = only_cloud
        self._server = server
        self._tries = tries
        self._most = most
        self._key = server.key(tenant=self._tenant)
        self._jwks = httpx.get(f"{server.url}/.well-known/jwks.json", trust_env=False).json()
        self._sure = sure_text()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,), daemon=True) for n in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each client finish its request; no more after that."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a client never got an answer"

    def count(self) -> int:
        return len(self.got.answers)

    def answered_by(self) -> set[int]:
        """The processes that answered since this was asked last."""
        with self._lock:
            found, self.got.workers = self.got.workers, set()
        return found

    def _send(self, client_number: int) -> None:
        headers = {"authorization": f"Bearer {self._key}"}
        if client_number % 2:
            headers["connection"] = "close"  # half of them come anew each time, as through a balancer
        with httpx.Client(base_url=self._server.url, headers=headers, timeout=40, trust_env=False) as client:
            while not self._over.wait(PACE_S) and (number := next(self._numbers)) < self._most:
                local = number % 3 == 0 and not self._only_cloud
                text = self._sure if local else f"Qwertz uiop request{number}end?"
                self._one(client, text)

    def _one(self, client: httpx.Client, text: str) -> None:
        body = {"use_case": "support", "input": {"text": text}}
        for _ in range(self._tries):
            try:
                response = client.post("/v1/decide", json=body)
            except httpx.TransportError as error:
                with self._lock:
                    self.got.broken[type(error).__name__] += 1
                continue
            with self._lock:
                self._note(text, response)
            return
        with self._lock:
            self.got.unanswered.append(text)

    def _note(self, text: str, response: httpx.Response) -> None:
        self.got.statuses[response.status_code] += 1
        if response.status_code == httpx.codes.OK:
            answer = response.json()
            self.got.answers.append(answer)
            self.got.texts.add(text)
            self.got.workers.add(worker_of(answer))

    def assert_in_evidence(self, home: Path, lost: int) -> None:
        """Every answer is in the journal with its digest and has a receipt that verifies; the journal holds
        at most `lost` decisions more: recorded, and then their connection broke. Nothing twice."""
        entries = [e for e in read_entries(home / "journal") if e.record["tenant"] == self._tenant]
        records = {entry.record["id"]: entry for entry in entries}
        assert len(records) == len(entries), "a decision is recorded twice"
        for answer in self.got.answers:
            entry = records[answer["id"]]
            claims = verify_receipt(answer["receipt"], self._jwks)
            check_answer(claims, answer["id"], answer["output"])
            assert entry.record["answer_digest"] == claims["answer"]["sha256"]
            assert entry.hash == claims["journal"]["hash"]
        answered = {answer["id"] for answer in self.got.answers}
        assert len(answered) == len(self.got.answers), "one id was given to two callers"
        assert len(records.keys() - answered) <= lost


def worker_of(answer: dict[str, Any]) -> int:
    """The process that answered, as the receipt tells by the journal file (`…Z-<pid>-….jsonl`)."""
    payload = answer["receipt"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return int(claims["journal"]["file"].split("-")[-2])
