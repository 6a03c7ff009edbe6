"""One served orchestrator, two workers, and what breaks beneath it: what the callers get.

The disk fills up, it cannot sync, workers are killed, and at last the service is told to stop: the tests
share a server, so the last one is last.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from services.journal_reader import read_entries, verify_journal
from tests.faults.killing import audit, kills_under_load, served
from tests.faults.load import Load, sure_text
from tests.integration.serving import Serving, eventually
from tests.scripted_endpoint import ScriptedEndpoint

pytestmark = pytest.mark.integration

BY_HAND = "test_journal_faults.py makes this fault by other means"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where it may be done, `home/journal` is a disk of 16 MB."""
    home = tmp_path_factory.mktemp("disk") / "home"
    journal = home / "journal"
    journal.mkdir(parents=True, mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(journal)]
    if os.geteuid() == 0:
        subprocess.run(mount, capture_output=True)
    try:
        yield home
    finally:
        if journal.is_mount():
            subprocess.run(["umount", "-l", str(journal)], check=True)


@pytest.fixture(scope="module")
def server(
    home: Path, endpoint: ScriptedEndpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """Two workers that make each record durable before they answer."""
    with served(
        tmp_path_factory.mktemp("serve"), home, endpoint, SWITCHYARD_JOURNAL_SYNC="always"
    ) as running:
        yield running


def many(client: httpx.Client, count: int = 20) -> list[httpx.Response]:
    """Answers of any worker: each request has a connection of its own."""
    body = {"use_case": "support", "input": {"text": sure_text()}}
    return [client.post("/v1/decide", json=body, headers={"connection": "close"}) for _ in range(count)]


def assert_refused(response: httpx.Response) -> None:
    assert (response.status_code, response.json()["error"]["type"]) == (503, "journal_unavailable")
    assert "output" not in response.json()


def ids_once_all_answer(client: httpx.Client) -> list[str]:
    for _ in eventually(20):
        answers = many(client)
        if {answer.status_code for answer in answers} == {200}:
            return [str(answer.json()["id"]) for answer in answers]
    raise AssertionError


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as stream:
        for size in (65536, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue  # full, to this size


def test_on_a_full_disk_each_request_is_a_503_and_answers_resume_when_there_is_room(
    server: Serving, home: Path
) -> None:
    """No answer without its record, none half-written; no worker has to be restarted."""
    journal = home / "journal"
    if not journal.is_mount():
        pytest.skip(f"a small disk cannot be mounted here; {BY_HAND}")
    workers = {worker.pid for worker in server.workers()}
    with server.client() as client:
        answered = ids_once_all_answer(client)
        fill(journal / "filler")
        refused = [found for found in many(client, 40) if found.status_code != 200]
        assert len(refused) > 20  # a file's last page may have had room for some
        for response in refused:
            assert_refused(response)
        state = client.get("/readyz")
        assert (state.status_code, state.json()["ready"]) == (503, False)
        (journal / "filler").unlink()
        answered += ids_once_all_answer(client)
    assert {worker.pid for worker in server.workers()} == workers
    report = verify_journal(journal)
    assert (report.problems, sum(file.torn_bytes for file in report.files)) == ((), 0)
    found = [entry.record["id"] for entry in read_entries(journal)]
    assert set(answered) <= set(found)
    assert len(found) == len(set(found))


@contextmanager
def syncs_fail(server: Serving) -> Iterator[None]:
    """Each fdatasync of each worker ends in EIO, by strace."""
    tracers: list[subprocess.Popen[str]] = []
    try:
        for worker in server.workers():
            inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"]
            command = ["strace", "-f", "-p", str(worker.pid), *inject]
            tracers.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        for tracer in tracers:
            assert tracer.stderr is not None
            if "attached" not in tracer.stderr.readline():
                pytest.skip(f"strace may not attach here; {BY_HAND}")
        yield
    finally:
        for tracer in tracers:
            tracer.terminate()
            tracer.communicate(timeout=20)


def test_when_the_disk_cannot_sync_each_request_is_a_503_and_answers_resume_when_it_can(
    server: Serving,
) -> None:
    """What may not survive a loss of power is not answered (`SWITCHYARD_JOURNAL_SYNC=always`)."""
    if shutil.which("strace") is None:
        pytest.skip(f"there is no strace here; {BY_HAND}")
    with server.client() as client:
        ids_once_all_answer(client)
        with syncs_fail(server):
            for response in many(client, 6):
                assert_refused(response)
        answered = ids_once_all_answer(client)
    assert verify_journal(server.home / "journal").problems == ()
    assert set(answered) <= {entry.record["id"] for entry in read_entries(server.home / "journal")}


def test_when_workers_are_killed_callers_lose_a_connection_at_most_and_each_answer_has_its_record(
    server: Serving,
) -> None:
    """kill -9: a second try is answered by the other worker, nothing is forged, `audit verify` holds."""
    kills_under_load(server, kills=3, requests=300)


def test_told_to_stop_under_load_it_finishes_what_it_accepted_and_then_refuses_connections(
    server: Serving, endpoint: ScriptedEndpoint
) -> None:
    """SIGTERM: each request that came as far as the endpoint gets its 200; nobody gets an error status."""
    endpoint.delay_s = 0.5
    endpoint.requests.clear()
    with Load(server, clients=8, tries=1, most=10_000, only_cloud=True) as load:
        for _ in eventually(60):
            if load.count() >= 20:
                break
        supervisor, workers = psutil.Process(server.pid), server.workers()
        asked, answered = len(endpoint.requests), load.count()
        supervisor.terminate()
        _, alive = psutil.wait_procs([supervisor, *workers], timeout=30)
        assert alive == []
        load.stop()
    assert asked > answered, "some were under way"
    assert set(load.got.statuses) == {200}
    reached = {word for seen in endpoint.requests for word in seen.prompt().split() if word.endswith("end?")}
    assert len(reached) >= asked
    assert reached <= {text.split()[-1] for text in load.got.texts}
    assert set(load.got.broken) <= {"ConnectError", "RemoteProtocolError", "ReadError"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/livez", trust_env=False)
    load.assert_in_evidence(server.home, lost=0)
    assert audit(server.home).returncode == 0
