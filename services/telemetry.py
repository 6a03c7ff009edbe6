"""Metrics of one worker, in Prometheus' form. Every label has a bounded set of values.

BentoML's own request metrics are off: their `endpoint` label is the raw path, so that a path with
personal data in it would become a label, and they cost 0.1 ms a request. Workers write to files in
`PROMETHEUS_MULTIPROC_DIR`, which BentoML sets; whichever worker is asked adds them all up.
"""

import logging
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from services.breaker import BreakerState
from services.budget import Settled
from services.evidence.shipping import Round
from services.state.reviews import Enqueued, Voted
from services.synthesis import Outcome
from services.values import Envelope

log = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_LATEST
REQUEST_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
REVIEW_SECONDS = (60, 300, 900, 3600, 4 * 3600, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400)
PHASES = {"closed": 0, "half_open": 1, "open": 2}
NOTHING = "none"
"""The `route` label of a request that nothing answered."""


class Telemetry:
    """Counts requests and decisions. `recorded` is a pipeline observer, off the response path."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "switchyard_requests", "HTTP requests", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "switchyard_request_seconds",
            "Time to answer",
            ["path"],
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self._decisions = Counter(
            "switchyard_decisions", "Recorded decisions", ["use_case", "route", "degraded"], registry=registry
        )
        self._attempts = Counter(
            "switchyard_attempts", "Targets asked", ["use_case", "target", "outcome"], registry=registry
        )
        self._attempt_seconds = Histogram(
            "switchyard_attempt_seconds", "Time a target took", ["use_case", "target"],
            buckets=REQUEST_SECONDS, registry=registry,
        )  # fmt: skip
        self._cost = Counter(
            "switchyard_cost_usd", "Known cost of answers", ["use_case", "target"], registry=registry
        )
        self._unpriced = Counter(
            "switchyard_unpriced_attempts", "Attempts whose cost is not known", ["use_case", "target"],
            registry=registry,
        )  # fmt: skip
        self._config = Gauge(
            "switchyard_config_info", "1 while this version is served", ["use_case", "version"],
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip

        self._refused = Gauge(
            "switchyard_config_refused", "1 while the newest configuration is refused", ["use_case"],
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._breakers = Gauge(
            "switchyard_breaker_state", "0 closed, 1 on trial, 2 open; the worst that a worker knows",
            ["endpoint"], registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._uncounted = Counter(
            "switchyard_settlements_not_counted", "Calls whose cost could not be counted at once",
            ["endpoint"], registry=registry,
        )  # fmt: skip

        self._behind = Gauge(
            "switchyard_shipping_behind_bytes", "Journal that the decisions database does not have yet",
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._evidence_problems = Gauge(
            "switchyard_evidence_problems", "What is wrong with shipping or checkpoints just now", ["part"],
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._unprotected = Gauge(
            "switchyard_unprotected_records", "Records that no checkpoint covers yet",
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip

        self._review_queue = Gauge(
            "switchyard_reviews_waiting", "Length of the review queue last changed", ["use_case"],
            registry=registry, multiprocess_mode="livemostrecent",
        )  # fmt: skip
        self._reviews_in = Counter(
            "switchyard_reviews_enqueued", "enqueued, repeated, dropped (queue full), lost (no database)",
            ["use_case", "what"], registry=registry,
        )  # fmt: skip
        self._reviewed = Counter(
            "switchyard_reviews_resolved", "Resolved reviews; corrected: the answer was wrong",
            ["use_case", "corrected"], registry=registry,
        )  # fmt: skip
        self._review_seconds = Histogram(
            "switchyard_review_seconds", "From the decision to its review", ["use_case"],
            buckets=REVIEW_SECONDS, registry=registry,
        )  # fmt: skip

        self._shadowing = Gauge(
            "switchyard_shadow_live", "1 while a candidate is in shadow", ["use_case"],
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._shadow = Counter(
            "switchyard_shadow_copies", "compared (failed and disagreed are parts of it), or dropped",
            ["use_case", "what"], registry=registry,
        )  # fmt: skip
        self._shadowed: set[str] = set()

        self._warned: set[tuple[str, str]] = set()
        self._versions: Mapping[str, str] = {}
        self._children: dict[tuple[object, ...], Any] = {}

    def request(self, path: str, status: int, seconds: float) -> None:
        """One HTTP request. `path` is the route's pattern, never what the caller sent."""
        child = self._child
        child(self._requests, path, status).inc()
        child(self._seconds, path).observe(seconds)

    def recorded(self, envelope: Envelope, outcome: Outcome) -> None:
        """One decision; use cases and targets are those of the configuration, so their number is bounded."""
        name, child = envelope.use_case, self._child
        child(self._decisions, name, outcome.route or NOTHING, "true" if outcome.degraded else "false").inc()
        for attempt in outcome.attempts:
            child(self._attempts, name, attempt.target, attempt.outcome).inc()
            if attempt.outcome not in ("denied", "skipped"):
                child(self._attempt_seconds, name, attempt.target).observe(attempt.latency_ms / 1000)
            if attempt.cost_usd is None:
                child(self._unpriced, name, attempt.target).inc()
                self._warn_unpriced(name, attempt.target)
            elif attempt.cost_usd:
                child(self._cost, name, attempt.target).inc(attempt.cost_usd)

    def _warn_unpriced(self, use_case: str, target: str) -> None:
        """Once for each in the log; the metric has them all, and `deploy/prometheus` an alert on it."""
        if (use_case, target) not in self._warned:
            self._warned.add((use_case, target))
            log.warning("%s was asked for %s and nobody knows what it cost", target, use_case)

    def serving(self, versions: Mapping[str, str], refused: Collection[str] = ()) -> None:
        """Use case -> configuration version, as served from now on; `refused` have a newer one, not valid."""
        for name in {*versions, *self._versions, *refused}:
            self._refused.labels(name).set(name in refused)
        for name, version in self._versions.items():
            self._config.labels(name, version).set(0)
        self._versions = dict(versions)
        for name, version in versions.items():
            self._config.labels(name, version).set(1)

    def breaker(self, endpoint: str, state: BreakerState) -> None:
        """A configured endpoint's breaker, as it stands from now on."""
        self._breakers.labels(endpoint).set(PHASES[state.phase])

    def settled(self, endpoint: str, settled: Settled) -> None:
        """How a call's money was counted: what waits for the store, or came too late, is worth a look."""
        if not settled.counted:
            self._child(self._uncounted, endpoint).inc()

    def shipping(self, done: Round | None) -> None:
        """One round of shipping; None: the database was away."""
        self._evidence_problems.labels("shipping").set(len(done.problems) if done else 1)
        if done is not None:
            self._behind.set(done.behind_bytes)

    def checkpoints(self, unprotected: int, problems: int) -> None:
        """Records of this worker that no checkpoint covers, and places that cannot be written."""
        self._unprotected.set(unprotected)
        self._evidence_problems.labels("checkpoints").set(problems)

    def review_enqueued(self, use_case: str, enqueued: Enqueued | None) -> None:
        """One decision for the review queue; None: it did not get there."""
        if enqueued is None:
            self._child(self._reviews_in, use_case, "lost").inc()
            return
        self._child(self._reviews_in, use_case, "repeated" if enqueued.repeated else "enqueued").inc()
        if enqueued.dropped:
            self._child(self._reviews_in, use_case, "dropped").inc(enqueued.dropped)
        self._review_queue.labels(use_case).set(enqueued.waiting)

    def reviewed(self, use_case: str, voted: Voted) -> None:
        """One reviewer's word."""
        if voted.seconds is not None:
            self._child(self._reviewed, use_case, "true" if voted.corrected else "false").inc()
            self._child(self._review_seconds, use_case).observe(voted.seconds)
        self._review_queue.labels(use_case).set(voted.waiting)

    def shadowing(self, use_cases: Iterable[str]) -> None:
        """Use cases that have a candidate in shadow from now on."""
        now = set(use_cases)
        for name in now | self._shadowed:
            self._shadowing.labels(name).set(name in now)
        self._shadowed = now

    def shadow_copy(self, use_case: str, what: str) -> None:
        """One copy of a request for a candidate in shadow."""
        self._child(self._shadow, use_case, what).inc()

    def _child(self, metric: Counter | Histogram, *labels: str | int) -> Any:
        """`metric.labels(…)`, remembered: the library takes a lock and makes strings each time."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def page(self) -> bytes:
        """What `/metrics` shows: all workers of this server, or this process alone."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]  # the library leaves it untyped
        return generate_latest(everyone)
