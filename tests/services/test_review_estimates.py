"""Correctness of routes from the random sample: right on average, its interval as sure as it says."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.feedback import Truth
from services.keys import utc_now
from services.review_estimates import ALL, Sampled, correctness_by_route, judged
from services.reviews import SAMPLED, ReviewItem, Wanted
from services.state.database import REVIEWS, Database
from services.state.reviews import ReviewStore
from switchyard.cli import build
from tests.services.evidence.made import KINDS, opened


def traffic(seed: int) -> tuple[list[Sampled], float]:
    """A bad day sampled at 50 %, a good one at 5 %, ten times as busy; and how often both were right."""
    draw = random.Random(seed)
    days = [(400, 0.5, 0.6), (4000, 0.05, 0.95)]
    everything = [(rate, draw.random() < right) for count, rate, right in days for _ in range(count)]
    sample = [Sampled("local", rate, correct) for rate, correct in everything if draw.random() < rate]
    return sample, sum(correct for _, correct in everything) / len(everything)


def test_a_changed_sample_rate_does_not_tilt_the_estimate() -> None:
    """Over 100 runs its mean error is under a point, where the plain share is off by more than ten."""
    errors, plain, inside = [], [], 0
    for seed in range(100):
        rows, truth = traffic(seed)
        (one, _) = correctness_by_route(rows)
        assert one.correctness is not None
        assert one.low is not None
        assert one.high is not None
        errors.append(one.correctness - truth)
        plain.append(sum(bool(row.correct) for row in rows) / len(rows) - truth)
        inside += one.low <= truth <= one.high
    assert abs(sum(errors) / 100) < 0.01
    assert sum(plain) / 100 < -0.1
    assert inside >= 92


@given(st.lists(st.tuples(st.floats(0.001, 1), st.sampled_from([True, False, None])), max_size=30))
def test_every_interval_holds_its_estimate_within_0_and_1(rows: list[tuple[float, bool | None]]) -> None:
    for one in correctness_by_route([Sampled("r", rate, correct) for rate, correct in rows]):
        assert one.drawn == len(rows)
        assert one.reviewed == sum(correct is not None for _, correct in rows)
        if one.correctness is None:
            assert (one.reviewed, one.low, one.high) == (0, None, None)
        else:
            assert one.low is not None
            assert one.high is not None
            assert 0 <= one.low <= one.correctness <= one.high <= 1


def test_few_reviews_without_an_error_do_not_prove_that_there_are_none() -> None:
    """Wilson's interval of 10 of 10 begins at 72.2 % (Brown, Cai and DasGupta 2001, table)."""
    (one, everything) = correctness_by_route([Sampled("r", 0.1, True)] * 10)
    assert one.low == pytest.approx(0.7225, abs=1e-3)
    assert one.high == 1.0
    assert everything.route == ALL


def test_a_review_judges_other_answers_to_the_same_request_where_it_can() -> None:
    assert judged("a", "b", False, "a") is True
    assert judged("b", "a", True, "a") is False
    assert judged("a", "a", False, None) is False
    assert judged("c", "a", False, None) is None
    assert judged("a", "a", None, None) is None


def item(name: str, review: str, answered: str, route: str, at: str) -> ReviewItem:
    found = Wanted(review, (SAMPLED,), 8, 0.5)
    return ReviewItem(found, name, "acme", "support", "{}", "{}", route, answered, 1, at, None)


@pytest.mark.parametrize("kind", KINDS)
def test_every_sampled_decision_is_judged_by_the_one_review_of_its_request(kind: str, tmp_path: Path) -> None:
    """Repeats too, each by its own answer and route; what waits, or is too old, is not."""
    with opened(kind, tmp_path, REVIEWS) as database:
        store = ReviewStore(database)
        for one in (
            item("d1", "same", "a", "local", "2026-01-02"), item("d2", "same", "b", "cloud/x", "2026-01-02"),
            item("d3", "waits", "a", "local", "2026-01-02"), item("d4", "same", "a", "local", "2025-01-01"),
        ):  # fmt: skip
            store.enqueue(one, 10)
        store.vote("acme", "r", "same", Truth(False, "b"), "2026-01-03")
        rows = sorted(store.sampled("support", "2026-01-01", "acme"), key=str)
        assert rows == sorted(
            [Sampled("local", 0.5, False), Sampled("cloud/x", 0.5, True), Sampled("local", 0.5, None)],
            key=str,
        )
        assert store.sampled("support", "2026-01-01", "globex") == []


def test_the_command_says_it_in_words_and_in_json(home: Path) -> None:
    with Database(home / "reviews.db", REVIEWS) as database:
        now = utc_now().isoformat()
        ReviewStore(database).enqueue(item("d1", "one", "a", "local", now), 10)
        ReviewStore(database).vote("acme", "r", "one", Truth(True, "a"), now)
        ReviewStore(database).enqueue(item("d2", "two", "a", "cloud/x", now), 10)
    said = CliRunner().invoke(build(), ["reviews", "estimate", "support"])
    assert said.exit_code == 0, said.output
    assert "local: 100.0% right (20.7% to 100.0% at 95%); 1 of 1 sampled reviewed" in said.output
    assert "cloud/x: not known; 0 of 1 sampled reviewed" in said.output
    found = json.loads(CliRunner().invoke(build(), ["reviews", "estimate", "support", "--json"]).output)
    assert found["routes"]["local"]["correctness"] == 1.0
    assert found["queue"] == {"enqueued": 2, "resolved": 1, "waiting": 1}
    wrong = CliRunner().invoke(build(), ["reviews", "estimate", "nope"])
    assert wrong.exit_code != 0
