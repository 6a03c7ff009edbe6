"""What the console's pages show, from the API's JSON alone: no server, no browser."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console import overview, rows, text
from services.console.samples import Sample, between, per_minute, quantile_s, read_sample

METRICS = """\
# TYPE switchyard_decisions counter
switchyard_decisions_total{use_case="a",route="local",degraded="false"} 8
switchyard_decisions_total{use_case="b",route="local",degraded="true"} 1
switchyard_decisions_total{use_case="a",route="cloud/primary",degraded="false"} 3
# TYPE switchyard_cost_usd counter
switchyard_cost_usd_total{use_case="a",target="cloud/primary"} 0.25
# TYPE switchyard_request_seconds histogram
switchyard_request_seconds_bucket{path="/v1/decide",le="0.01"} 5
switchyard_request_seconds_bucket{path="/v1/decide",le="0.1"} 10
switchyard_request_seconds_bucket{path="/v1/decide",le="+Inf"} 12
switchyard_request_seconds_bucket{path="/metrics",le="+Inf"} 900
# TYPE switchyard_breaker_state gauge
switchyard_breaker_state{endpoint="primary"} 2
"""
BUDGET = {"use_case": "a", "usd_per_day": 5.0, "spent_usd": 0.25, "reserved_usd": 0.0, "level": "open"}


def test_a_page_of_metrics_is_read_over_all_use_cases_and_deciding_paths_alone() -> None:
    sample = read_sample(METRICS, 100.0)
    assert sample.routes == {"local": 9, "cloud/primary": 3}
    assert (sample.degraded, sample.cost_usd, sample.endpoints) == (1, 0.25, {"primary": 2})
    assert sample.buckets == {0.01: 5, 0.1: 10, math.inf: 12}


def test_quantiles_lie_inside_their_bucket_and_the_open_one_says_its_bound() -> None:
    buckets = read_sample(METRICS, 100.0).buckets
    assert quantile_s(buckets, 0.5) == pytest.approx(0.01 + 0.09 * (6 - 5) / 5)
    assert quantile_s(buckets, 0.95) == 0.1
    assert quantile_s({}, 0.5) is None
    assert quantile_s({0.1: 0.0, math.inf: 0.0}, 0.5) is None


@given(st.lists(st.integers(0, 50), min_size=2, max_size=12))
def test_quantiles_never_fall_as_q_grows(counts: list[int]) -> None:
    buckets = {0.1 * (n + 1): float(sum(counts[: n + 1])) for n in range(len(counts))}
    found = [quantile_s(buckets, q / 20) for q in range(1, 21)]
    values = [value for value in found if value is not None]
    assert values == sorted(values)
    assert bool(values) == (sum(counts) > 0)


def test_a_counter_that_fell_began_anew() -> None:
    assert between({"local": 10.0}, {"local": 12.0, "rules": 1.0}) == {"local": 2.0, "rules": 1.0}
    assert between({"local": 10.0}, {"local": 3.0}) == {"local": 3.0}


def test_decisions_a_minute_are_what_came_between_two_looks() -> None:
    samples = [Sample(0.0, {"local": 0.0}), Sample(5.0, {"local": 1.0}), Sample(30.0, {"local": 10.0})]
    assert per_minute(samples) == [(30.0, {"local": 20.0})]
    assert per_minute([]) == []


def test_the_cards_say_coverage_latency_and_money_against_the_budget() -> None:
    found = {card.title: card for card in overview.cards(read_sample(METRICS, 1.0), [BUDGET])}
    assert found["Decisions"].value == "12"
    assert found["Local coverage"].value == "75.0%"
    assert found["Latency p50 / p95"].value == "28 ms / 100 ms"
    assert (found["Cost today"].value, "$5.00" in found["Cost today"].note) == ("$0.2500", True)


def test_what_is_not_known_is_not_shown_as_nought() -> None:
    assert overview.cards(None, None)[-1].note == "needs a key with the role auditor"
    assert overview.cards(None, [{**BUDGET, "spent_usd": None}])[-1].value == "not known"
    assert text.usd(None) == "not known"
    assert text.percent(0.99996) == ">99.9%"


def test_health_names_what_is_missing_and_which_breaker_is_open() -> None:
    ready = {
        "ready": True,
        "warnings": ["checkpoints: disk full"],
        "use_cases": {"a": {"missing": {"local": "no model; train one"}, "model": None}},
    }
    found = {part.name: part for part in overview.parts(ready, read_sample(METRICS, 1.0), None)}
    assert {name: part.state for name, part in found.items()} == {
        "orchestrator": "ok", "use case a": "warn", "cloud/primary": "bad", "evidence": "warn",
    }  # fmt: skip
    assert found["use case a"].detail == "local: no model; train one"
    (down,) = overview.parts(None, None, "the orchestrator is not reached")
    assert (down.state, down.detail) == ("bad", "the orchestrator is not reached")


def test_what_retention_emptied_says_so() -> None:
    nothing = dict.fromkeys(("route", "confidence", "degraded", "cost_usd", "latency_ms", "input", "output"))
    (row,) = rows.decision_rows([{"id": "x", "at": "2026-01-02T03:04:05+00:00", "use_case": "a", **nothing}])
    assert (row["at"], row["route"], row["input"]) == (
        "2026-01-02 03:04:05", "emptied", "removed by retention",
    )  # fmt: skip
    assert rows.attempt_rows({"removed": {}}) == []


def test_a_receipts_verdict_is_a_sentence() -> None:
    assert rows.verdict_text({"valid": False, "reason": "is of another decision"}) == (
        False, "Refused: the receipt is of another decision.",
    )  # fmt: skip
    good, sentence = rows.verdict_text({"valid": True, "claims": {"iat": 0}})
    assert good
    assert "1970-01-01" in sentence


def test_labels_come_from_the_one_closed_set_of_the_output() -> None:
    def document(properties: dict[str, object]) -> dict[str, object]:
        return {"components": {"schemas": {"CardFraudOutput": {"properties": properties}}}}

    one = document({"reply": {"type": "string"}, "label": {"enum": ["x", "y"]}})
    assert rows.labels_of(one, "card-fraud") == ["x", "y"]
    assert rows.labels_of(document({"a": {"enum": ["x"]}, "b": {"enum": ["y"]}}), "card-fraud") == []
    assert rows.labels_of({}, "card-fraud") == []
