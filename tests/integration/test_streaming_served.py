"""Streams through a real `bentoml serve`: nothing in between holds them back or hides how they end."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import psutil
import pytest

from services.journal_reader import read_entries, verify_journal
from tests.integration.serving import Serving, eventually, serving
from tests.scripted_endpoint import ScriptedEndpoint
from tests.streamed import PLAIN, incremental

pytestmark = pytest.mark.integration

ASKED: Any = [{"role": "user", "content": "Where is my parcel with the new card?"}]
ANSWER = {"reply": PLAIN * 12, "intent": "out_of_scope"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(ANSWER) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def server(endpoint: ScriptedEndpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    scratch = tmp_path_factory.mktemp("streaming")
    configured = {"primary": {"base_url": endpoint.url, "model": "scripted", "region": "eu"}}
    with serving(
        scratch,
        scratch / "home",
        SWITCHYARD_USECASES=str(incremental(scratch)),
        SWITCHYARD_ENDPOINTS=json.dumps(configured),
        SWITCHYARD_WORKERS="2",
    ) as running:
        yield running


def records(server: Serving, kind: str) -> list[Any]:
    return [e.record for e in read_entries(server.home / "journal") if e.record["kind"] == kind]


def stream(server: Serving) -> Any:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key("caller"), max_retries=0)
    return client.chat.completions.create(model="support", messages=ASKED, stream=True)


def first_text(chunks: Any) -> str:
    return next(text for chunk in chunks if (text := chunk.choices[0].delta.content))


def test_text_arrives_while_the_endpoint_still_waits(server: Serving, endpoint: ScriptedEndpoint) -> None:
    """And the rest once it goes on, up to the receipt."""
    endpoint.go_on.clear()
    endpoint.will("stream_hangs")
    chunks = stream(server)
    text = first_text(chunks)
    endpoint.go_on.set()
    rest = list(chunks)
    assert text + "".join(chunk.choices[0].delta.content or "" for chunk in rest) == ANSWER["reply"]
    assert rest[-1].model_extra["x_switchyard"]["receipt"]


def test_a_client_that_hangs_up_frees_everything(server: Serving, endpoint: ScriptedEndpoint) -> None:
    """Through all that BentoML puts around us: the endpoint's connection closes, and the record says why."""
    endpoint.go_on.clear()
    endpoint.gone.clear()
    endpoint.will("stream_hangs")
    chunks = stream(server)
    first_text(chunks)
    chunks.close()
    assert endpoint.gone.wait(10)
    for _ in eventually(10):
        broken = [r for r in records(server, "decision") if r.get("stream", {}).get("incomplete")]
        if broken:
            break
    assert "went away" in broken[0]["stream"]["incomplete"]


def test_a_killed_worker_ends_no_stream_cleanly(server: Serving, endpoint: ScriptedEndpoint) -> None:
    """Its client gets an error; the commit is on record, no decision is, and the journal holds."""
    endpoint.go_on.clear()
    endpoint.will("stream_hangs")
    before = {record["id"] for record in records(server, "stream")}
    chunks = stream(server)
    first_text(chunks)
    (commit,) = [record for record in records(server, "stream") if record["id"] not in before]
    for worker in server.workers():
        psutil.Process(worker.pid).send_signal(signal.SIGKILL)
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        list(chunks)
    assert commit["id"] not in {record["id"] for record in records(server, "decision")}
    assert not verify_journal(server.home / "journal").problems
