"""Metrics: what is counted, and that no label can hold what a caller sent."""

import os
import re
import subprocess
import sys
from pathlib import Path

from services.synthesis import Outcome
from services.telemetry import Telemetry
from services.values import AttemptRecord
from tests.fakes import envelope_of, support
from tests.served import served


def outcome(*attempts: AttemptRecord, route: str | None = "local", degraded: bool = False) -> Outcome:
    return Outcome(
        route=route,
        output=None,
        answer_digest=None,
        confidence=None,
        degraded=degraded,
        reasons=(),
        attempts=attempts,
        validators=(),
        versions={},
        cost_usd=None,
    )


def value(page: bytes, name: str, **labels: str) -> float:
    """The sample with exactly these labels."""
    inside = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
    found = re.search(rf"^{name}\{{{re.escape(inside)}\}} (\S+)$", page.decode(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def test_decisions_attempts_and_costs_are_counted() -> None:
    """Denied and skipped targets took no time; unknown cost is its own count, not zero."""
    telemetry, envelope = Telemetry(), envelope_of(support())
    telemetry.recorded(
        envelope,
        outcome(
            AttemptRecord("rules", "declined", "", latency_ms=1.0),
            AttemptRecord("local", "denied", ""),
            AttemptRecord("cloud/a", "failed", "", latency_ms=20.0, cost_usd=None),
            AttemptRecord("cloud/b", "answered", "", latency_ms=20.0, cost_usd=0.25),
            route="cloud/b",
            degraded=True,
        ),
    )
    telemetry.recorded(envelope, outcome(route=None, degraded=True))
    page = telemetry.page()
    count = "switchyard_decisions_total"
    assert value(page, count, use_case="support", route="cloud/b", degraded="true") == 1
    assert value(page, count, use_case="support", route="none", degraded="true") == 1
    attempts = "switchyard_attempts_total"
    assert value(page, attempts, use_case="support", target="cloud/a", outcome="failed") == 1
    assert value(page, "switchyard_unpriced_attempts_total", use_case="support", target="cloud/a") == 1
    assert value(page, "switchyard_cost_usd_total", use_case="support", target="cloud/b") == 0.25
    seconds = "switchyard_attempt_seconds_count"
    assert value(page, seconds, use_case="support", target="rules") == 1
    assert b'switchyard_attempt_seconds_count{target="local"' not in page


def test_the_served_configuration_is_told_by_its_version() -> None:
    """The new one is 1, the one before 0."""
    telemetry = Telemetry()
    telemetry.serving({"support": "aaa"})
    telemetry.serving({"support": "bbb"})
    page = telemetry.page()
    assert value(page, "switchyard_config_info", use_case="support", version="aaa") == 0
    assert value(page, "switchyard_config_info", use_case="support", version="bbb") == 1


async def test_paths_are_counted_by_pattern(home: Path) -> None:
    """However many paths callers make up, the number of labels stays the same."""
    async with served(home) as app:
        for number in range(5):
            await app.client.get(f"/v1/made-up-{number}")
            await app.client.get(f"/v1/decisions/{number:032x}")
        page = (await app.client.get("/metrics")).content
    assert value(page, "switchyard_requests_total", path="other", status="404") == 5
    assert value(page, "switchyard_requests_total", path="/v1/decisions/{id}", status="404") == 5
    assert b"made-up" not in page


def test_workers_are_added_up(tmp_path: Path) -> None:
    """With PROMETHEUS_MULTIPROC_DIR set before import, as BentoML sets it for each worker."""
    program = (
        "import sys; from services.telemetry import Telemetry; t = Telemetry()\n"
        "t.request('/v1/decide', 200, 0.001)\n"
        "print(t.page().decode() if sys.argv[1] == 'show' else '')"
    )
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    pages = [
        subprocess.run([sys.executable, "-c", program, what], env=env, capture_output=True).stdout
        for what in ("count", "show")
    ]
    assert value(pages[-1], "switchyard_requests_total", path="/v1/decide", status="200") == 2
