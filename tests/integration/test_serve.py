"""The served orchestrator: two workers of `bentoml serve`, over real sockets."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from bench.promotions import Versions, calling
from bench.sample_model import place_sample_model
from registry.settings import RegistrySettings
from registry.trust import Revocations, RevokedVersion
from registry.trust_files import revoke
from services.receipt_check import verify_receipt
from tests.fakes import REPOSITORY, support
from tests.integration.serving import Serving, eventually, serving
from tests.scripted_endpoint import ScriptedEndpoint
from tests.served import all_bytes
from tests.services.api.test_planted_secrets import CARD, EMAIL, REFUSED, TEXT, WORD, found_in

pytestmark = pytest.mark.integration

UNSURE = f"Qwertz uiop zxcv {CARD} and {EMAIL}?"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, endpoint: ScriptedEndpoint) -> Iterator[Serving]:
    scratch = tmp_path_factory.mktemp("serve")
    home = scratch / "home"
    place_sample_model(home, support(), scratch / "model", threshold=0.9, labels=8)
    configured = {
        "primary": {"base_url": endpoint.url, "api_key": "scripted", "model": "scripted", "region": "eu"}
    }
    with serving(
        scratch,
        home,
        SWITCHYARD_USECASES=str(REPOSITORY / "usecases"),
        SWITCHYARD_ENDPOINTS=json.dumps(configured),
        SWITCHYARD_MODEL_POLL_S="0.5",
        SWITCHYARD_BODY_TIMEOUT_S="1",
        SWITCHYARD_HEADER_TIMEOUT_S="1",
        SWITCHYARD_FAILED_KEYS_PER_MINUTE="10000",
    ) as running:
        yield running


def known_text() -> str:
    """A message that the small model is sure of: one that it was trained on."""
    lines = (REPOSITORY / "usecases" / "support" / "data" / "messages.csv").read_text().splitlines()
    label = sorted({line.rsplit(",", 1)[1] for line in lines[1:]})[0]
    return next(line for line in lines[1:] if line.endswith(label)).rsplit(",", 1)[0].strip('"')


def decide(client: object, text: str, **more: object) -> dict[str, object]:
    answer = client.post("/v1/decide", json={"use_case": "support", "input": {"text": text}, **more})  # type: ignore[attr-defined]  # known here, not to mypy
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_a_local_answer_has_a_receipt_that_an_outsider_verifies(server: Serving) -> None:
    """With the published keys alone."""
    with server.client() as client:
        answer = decide(client, known_text())
        jwks = client.get("/.well-known/jwks.json", headers={"authorization": ""}).json()
    assert answer["route"] == "local"
    claims = verify_receipt(str(answer["receipt"]), jwks)
    assert claims["id"] == answer["id"]
    assert claims["versions"]["model"] == answer["versions"]["model"]  # type: ignore[index]  # parsed JSON


def test_what_leaves_the_machine_is_redacted_and_the_caller_gets_the_original(
    server: Serving, endpoint: ScriptedEndpoint
) -> None:
    """The wire to the endpoint carries placeholders only."""
    endpoint.will("ok")
    endpoint.answer = {"reply": "Card <CARD_1> is blocked.", "intent": "out_of_scope"}
    with server.client() as client:
        answer = decide(client, UNSURE)
    assert answer["route"] == "cloud/primary"
    assert answer["output"]["reply"] == f"Card {CARD} is blocked."  # type: ignore[index]  # parsed JSON
    assert "<CARD_1>" in endpoint.requests[-1].prompt()
    assert not any(found_in(seen.body) for seen in endpoint.requests)


@pytest.mark.parametrize(
    "fault",
    [
        "refuse", "reset", "garbage", "cut_off", "http_401", "http_429", "http_500", "redirect", "huge_body",
        "gzip_bomb", "truncated_json", "not_json", "not_a_completion", "wrong_schema", "prose", "empty",
        "too_long", "refusal", "content_filter", "filter_error",
    ],
)  # fmt: skip
def test_whatever_the_endpoint_does_the_answer_degrades_and_says_so(
    server: Serving, endpoint: ScriptedEndpoint, fault: str
) -> None:
    """Never a 5xx for a failed dependency: the safe default, labelled, with the reason."""
    endpoint.will(fault)
    try:
        with server.client() as client:
            answer = decide(client, UNSURE)
    finally:
        endpoint.will("ok")
    assert (answer["route"], answer["degraded"]) == ("safe_default", True)
    assert any(reason.startswith("cloud/primary: ") for reason in answer["reasons"])  # type: ignore[attr-defined]  # known here, not to mypy


@pytest.mark.parametrize("fault", ["hang", "hang_mid_body", "slow_drip"])
def test_an_endpoint_that_hangs_costs_no_more_than_the_callers_deadline(
    server: Serving, endpoint: ScriptedEndpoint, fault: str
) -> None:
    """`max_latency_ms` ends the attempt; the answer still comes."""
    endpoint.will(fault)
    try:
        with server.client() as client:
            answer = decide(client, UNSURE, context={"max_latency_ms": 300})
    finally:
        endpoint.will("ok")
    assert answer["route"] == "safe_default"


def test_the_official_openai_client_works_unchanged(server: Serving) -> None:
    """Address and key are all that changes; streaming too."""
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key(), max_retries=0)
    messages = [{"role": "user", "content": known_text()}]
    whole = client.chat.completions.create(model="support", messages=messages)  # type: ignore[call-overload]  # plain dicts on purpose
    stream = client.chat.completions.create(model="support", messages=messages, stream=True)  # type: ignore[call-overload]  # plain dicts on purpose
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(pieces) == whole.choices[0].message.content
    assert [model.id for model in client.models.list()] == ["fraud", "support"]


def test_a_revoked_key_is_refused_by_every_worker_within_two_seconds(server: Serving) -> None:
    """From the command that revokes it."""
    with server.client() as client:
        for _ in range(20):
            decide(client, "hello")
        key_id = str(client.headers["authorization"]).split("-")[1]
        command = [sys.executable, "-m", "switchyard", "keys", "revoke", key_id]
        env = {"SWITCHYARD_HOME": str(server.home), "PATH": "/usr/bin:/bin"}
        assert subprocess.run(command, env=env, capture_output=True, cwd=REPOSITORY).returncode == 0
        refused = 0
        for _ in eventually(2):
            client.get("/v1/models", headers={"connection": "close"})
            statuses = {
                client.get("/v1/models", headers={"connection": "close"}).status_code for _ in range(10)
            }
            refused = refused + 1 if statuses == {401} else 0
            if refused == 2:
                break


def test_a_repeated_request_is_answered_once_whichever_worker_gets_it(server: Serving) -> None:
    """Idempotency holds across processes."""
    headers = {"idempotency-key": "across-workers", "connection": "close"}
    body = {"use_case": "support", "input": {"text": known_text()}}
    with server.client() as client:
        answers = [client.post("/v1/decide", json=body, headers=headers) for _ in range(12)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1


def raw(server: Serving, *pieces: bytes) -> bytes:
    """What comes back for bytes that no HTTP client would send."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        for piece in pieces:
            connection.sendall(piece)
        connection.settimeout(15)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
            if b"request_id" in received:
                break
        return received


def test_a_head_that_comes_too_slowly_is_refused_by_a_real_worker(server: Serving) -> None:
    """BentoML's own server takes the bound, from SWITCHYARD_HEADER_TIMEOUT_S."""
    answer = raw(server, b"POST /v1/decide HTTP/1.1\r\nhost: x\r\nx-slow: ")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"within 1 s" in answer


def head(key: str, *lines: str) -> bytes:
    fixed = [
        "POST /v1/decide HTTP/1.1",
        "host: x",
        f"authorization: Bearer {key}",
        "content-type: application/json",
    ]
    return "\r\n".join([*fixed, *lines]).encode() + b"\r\n\r\n"


def test_a_body_of_ten_megabytes_is_a_413_announced_or_not(server: Serving) -> None:
    """And the connection still carries the error to the caller."""
    with server.client() as client:
        announced = client.post(
            "/v1/decide", content=b"x" * 10_000_000, headers={"content-type": "application/json"}
        )
        chunked = client.post(
            "/v1/decide",
            content=iter([b"x" * 100_000] * 100),
            headers={"content-type": "application/json"},
        )
    assert (announced.status_code, chunked.status_code) == (413, 413)
    assert announced.json()["error"]["type"] == "too_large"


def test_a_body_that_drips_is_cut_off(server: Serving) -> None:
    """After `body_timeout_s` the caller gets a 400 and the worker is free."""
    answer = raw(server, head(server.key(), "content-length: 100"), b'{"use_case"')
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"did not arrive" in answer


@pytest.mark.parametrize(
    "lines",
    [
        ("content-length: 5", "content-length: 6"),
        ("x-injected: a\r\nset-cookie: b\r\n\r\nGET /x HTTP/1.1",),
        ("transfer-encoding: chunked", "content-length: 5"),
        ("content-length: -1",),
    ],
)
def test_ambiguous_framing_gets_an_error_and_no_second_answer(
    server: Serving, lines: tuple[str, ...]
) -> None:
    """Nothing is smuggled past the door, and the server stays up."""
    answer = raw(server, head(server.key(), *lines), b"hello" * 10)
    assert answer.count(b"HTTP/1.1 200") == 0
    assert answer == b"" or b"HTTP/1.1 4" in answer
    with server.client() as client:
        assert client.get("/v1/models").status_code == 200


def test_hostile_requests_leave_nothing_in_any_sink(server: Serving, endpoint: ScriptedEndpoint) -> None:
    """Secrets in bodies, keys, headers, paths, queries: not in logs, metrics, journal, state or answers."""
    endpoint.will("http_500")
    with server.client("caller", "auditor") as client:
        for request in REFUSED:
            answer = client.request(**{"method": "POST", "url": "/v1/decide", **request})
            assert not found_in(answer.text), request
        for path in (f"/{WORD}", f"/{EMAIL}/x?card={CARD}", f"/v1/{WORD}", f"/docs/{WORD}"):
            assert not found_in(client.get(path).text)
        client.post(f"/v1/decide?{WORD}", json={"use_case": "support", "input": {"text": TEXT}},
                    headers={"user-agent": WORD, "x-forwarded-for": WORD, "traceparent": WORD})  # fmt: skip
        raw(server, f"GET /{WORD} HTTP/9.9\r\n{WORD}\r\n\r\n".encode())
        metrics = client.get("/metrics").text
    endpoint.will("ok")
    assert "switchyard_requests_total" in metrics
    assert not found_in(metrics)
    assert not found_in(server.logged())
    assert not found_in(all_bytes(server.home))


def test_every_worker_stays_below_600_mib(server: Serving) -> None:
    """After everything that this module does to it."""
    workers = server.workers()
    assert len(workers) == 2
    assert max(worker.memory_info().rss for worker in workers) < 600 * 1024 * 1024


def test_it_listens_on_loopback_only(server: Serving) -> None:
    """Unless SWITCHYARD_HOST or --host says otherwise."""
    import psutil

    listening = {c.laddr.ip for c in psutil.net_connections("inet") if c.laddr and c.laddr.port == server.port
                 and c.status == psutil.CONN_LISTEN}  # fmt: skip
    assert listening == {"127.0.0.1"}


def test_readiness_tells_configuration_and_model(server: Serving) -> None:
    """Probes need no key; liveness is BentoML's own."""
    with server.client() as client:
        state = client.get("/readyz", headers={"authorization": ""}).json()
        assert client.get("/livez").status_code == 200
    assert state["ready"] is True
    assert state["use_cases"]["support"]["config"] == support().version
    assert len(state["use_cases"]["support"]["model"]) == 64


def test_a_newly_placed_model_is_taken_up_without_a_restart(server: Serving, tmp_path: Path) -> None:
    """By every worker, within seconds."""
    ref = place_sample_model(server.home, support(), tmp_path, threshold=0.9, version=2, labels=9)
    seen = 0
    with server.client() as client:
        for _ in eventually(20):
            answer = client.post(
                "/v1/decide",
                json={"use_case": "support", "input": {"text": known_text()}},
                headers={"connection": "close"},
            ).json()
            seen = seen + 1 if answer["versions"].get("model") == ref.digest else 0
            if seen == 20:
                break


def test_a_promotion_under_load_reaches_every_worker_and_fails_no_request(
    server: Serving, tmp_path: Path
) -> None:
    """Signed into the log, moved in MLflow, placed; and back. How soon is measured by `bench.alias`."""
    versions = Versions(server.home, support(), tmp_path, threshold=0.0, labels=8)
    with server.client() as client, calling(client, "support", known_text(), 4, 0.02) as callers:
        for ref in (versions.refs[1], versions.refs[0]):
            versions.lead(ref)
            for _ in eventually(20):
                if {digest for *_, digest in callers.seen[-40:]} == {ref.digest}:
                    break
    assert not callers.failed
    assert len(callers.seen) > 80


def test_a_revoked_champion_gives_way_under_load_to_the_one_before_and_fails_no_request(
    server: Serving, tmp_path: Path
) -> None:
    """In every worker, by its own looking at the state folder."""
    versions = Versions(server.home, support(), tmp_path, threshold=0.0, labels=7)
    before, champion = versions.refs
    with server.client() as client, calling(client, "support", known_text(), 4, 0.02) as callers:
        versions.lead(champion)
        barred = Revocations(revoked_versions=(RevokedVersion(digest=champion.digest, reason="bad data"),))
        for ref in (champion, before):
            for _ in eventually(20):
                if {digest for *_, digest in callers.seen[-40:]} == {ref.digest}:
                    break
            if ref is champion:
                revoke(barred, RegistrySettings(home=server.home))
    assert not callers.failed
