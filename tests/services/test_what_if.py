"""What another threshold would have cost, against worlds in which it is known."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from services.chain import GENESIS, from_line, to_line
from services.errors import ConfigError
from services.feedback import Truth
from services.keys import utc_now
from services.reviews import SAMPLED, ReviewItem, Wanted
from services.state.database import DECISIONS, REVIEWS, Database
from services.state.decisions import Decisions, Position, Row
from services.state.reviews import ReviewStore, SampledReview
from services.what_if import FEWEST, Logged, Point, frontier
from services.what_if_report import draw
from services.what_if_rows import join
from switchyard.cli import build

LOGGED_AT = 0.8
USD = 0.002
SIZE = 20_000


class World:
    """Decisions whose every outcome is known: the local model is right as often as it says, the cloud as
    `cloud_right` says by confidence. Half of them were drawn at 4 %, half, which are harder, at 20 %."""

    def __init__(self, seed: int, cloud_right: float = 0.9, on_sure: float | None = None) -> None:
        draw = np.random.default_rng(seed)
        self.often = draw.random(SIZE) < 0.5
        self.confidence = np.where(self.often, draw.beta(2, 2, SIZE), draw.beta(8, 2, SIZE))
        self.local = draw.random(SIZE) < self.confidence
        sure = self.confidence >= LOGGED_AT
        self.cloud = draw.random(SIZE) < np.where(sure & (on_sure is not None), on_sure or 0, cloud_right)
        self.drawn = draw.random(SIZE) < np.where(self.often, 0.2, 0.04)

    def rows(self) -> list[Logged]:
        found = []
        for i in np.flatnonzero(self.drawn):
            by_local = bool(self.confidence[i] >= LOGGED_AT)
            local, right = bool(self.local[i]), bool(self.local[i] if by_local else self.cloud[i])
            rate, usd = 0.2 if self.often[i] else 0.04, 0.0 if by_local else USD
            found.append(Logged(rate, float(self.confidence[i]), local, right, by_local, usd))
        return found

    def truth(self, threshold: float) -> tuple[float, float]:
        """Correctness, and USD for 1,000 answers."""
        locally = self.confidence >= threshold
        right = np.where(locally, self.local, self.cloud).mean()
        return float(right), float(1000 * USD * (~locally).mean())


def at(threshold: float, rows: list[Logged]) -> Point:
    (point,) = frontier(rows, [threshold], points=0)
    return point


@pytest.mark.parametrize("threshold", [0.0, 0.5, LOGGED_AT])
def test_below_the_logged_threshold_the_interval_holds_the_truth_as_often_as_it_says(
    threshold: float,
) -> None:
    """Everything was seen there: nothing is assumed. 20 worlds; 95 % intervals, with room for chance."""
    held_right = held_usd = 0
    for seed in range(20):
        world = World(seed)
        point, (right, usd) = at(threshold, world.rows()), world.truth(threshold)
        assert point.assumed == 0
        assert point.worst == pytest.approx(point.best)
        held_right += point.correct.low <= right <= point.correct.high
        held_usd += point.usd_per_1000.low - 1e-9 <= usd <= point.usd_per_1000.high + 1e-9
    assert held_right >= 17
    assert held_usd >= 17


def test_a_sample_drawn_unevenly_does_not_tilt_the_estimate() -> None:
    """The rates matter: counted once each, the often drawn half, which is harder, would weigh five times."""
    world = World(1)
    rows = world.rows()
    even = [Logged(0.1, row.confidence, row.local_right, row.right, row.by_local, row.usd) for row in rows]
    right, _ = world.truth(0.0)
    assert abs(at(0.0, rows).correct.mean - right) < 0.03
    assert abs(at(0.0, even).correct.mean - right) > 0.06


def test_above_the_logged_threshold_the_guess_is_good_where_the_cloud_is_as_good_there() -> None:
    held = 0
    for seed in range(10):
        world = World(seed)
        point, (right, usd) = at(0.95, world.rows()), world.truth(0.95)
        assert point.assumed > 0.1
        assert point.usd_per_1000.mean == pytest.approx(usd, abs=0.1)
        held += point.correct.low <= right <= point.correct.high
    assert held >= 8


@pytest.mark.parametrize("seed", range(5))
def test_above_it_worst_and_best_hold_the_truth_even_where_the_guess_is_wrong(seed: int) -> None:
    """A cloud model that fails at what the local one is sure of: no log of the old threshold can know."""
    world = World(seed, on_sure=0.2)
    point, (right, _) = at(0.95, world.rows()), world.truth(0.95)
    assert not point.correct.low <= right <= point.correct.high
    assert point.worst - 0.01 <= right <= point.best + 0.01


def test_answers_of_rules_are_the_same_at_every_threshold() -> None:
    rows = [Logged(0.5, None, None, index % 2 == 0, False, 0.0) for index in range(40)]
    (point,) = frontier(rows, [0.5])
    assert (point.local_share, point.correct.mean, point.usd_per_1000.mean, point.assumed) == (0, 0.5, 0, 0)


def test_too_few_reviews_say_nothing() -> None:
    rows = World(3).rows()
    assert frontier(rows[: FEWEST - 1]) == []
    assert frontier(rows[:FEWEST])


def test_costs_fall_and_local_answers_grow_as_the_threshold_falls() -> None:
    points = frontier(World(4).rows())
    assert [p.threshold for p in points] == sorted(p.threshold for p in points)
    assert [p.local_share for p in points] == sorted((p.local_share for p in points), reverse=True)
    assert [p.usd_per_1000.mean for p in points] == sorted(p.usd_per_1000.mean for p in points)


def line(route: str, confidence: float | None, label: str | None, usd: float | None, model: str = "d") -> str:
    attempt: dict[str, object] = {"target": "local", "model": model}
    attempt["outcome"] = "answered" if route == "local" else "declined"
    attempt |= {} if confidence is None else {"confidence": confidence}
    attempt |= {} if label is None else {"label": label}
    content = {"id": "x", "attempts": [attempt], "route": route, "cost_usd": usd}
    return to_line("decision", 1, "2026-11-23T10:00:00+00:00", GENESIS, content)[0].decode()


def review(
    decision: str, answered: str | None, correct: bool | None, label: str | None = None
) -> SampledReview:
    return SampledReview(decision, "any", 0.1, answered, answered, correct, label)


def test_a_review_judges_what_was_answered_and_what_the_local_model_would_have_said() -> None:
    reviews = [
        review("sure", "a", True),
        review("unsure_right", "b", False, "a"),
        review("unsure_same", "b", True),
        review("waits", "b", None),
        review("gone", "b", True),
        review("old", "b", True),
    ]
    lines = {
        "sure": line("local", 0.9, "a", 0.0),
        "unsure_right": line("cloud/primary", 0.4, "a", 0.001),
        "unsure_same": line("cloud/primary", 0.3, "c", 0.002),
        "waits": line("cloud/primary", 0.3, "c", 0.002),
        "old": line("cloud/primary", None, None, 0.002),
    }
    read = join(reviews, lines)
    assert read.rows == [
        Logged(0.1, 0.9, True, True, True, 0.0),
        Logged(0.1, 0.4, True, False, False, 0.001),
        Logged(0.1, 0.3, False, True, False, 0.002),
    ]
    assert sorted(read.left_out.values()) == [1, 1, 1]
    assert read.model == "d"


def test_a_changed_line_is_no_row_and_another_model_is_left_out() -> None:
    good = line("local", 0.9, "a", 0.0)
    lines = {"one": good, "forged": good.replace('"confidence":0.9', '"confidence":0.1')}
    lines["other"] = line("local", 0.9, "a", 0.0, model="another")
    read = join([review(name, "a", True) for name in lines], lines)
    assert len(read.rows) == 1
    assert sorted(read.left_out.values()) == [1, 1]


def test_the_picture_is_written(tmp_path) -> None:  # type: ignore[no-untyped-def]  # pytest's own
    file = tmp_path / "plots" / "frontier.svg"
    draw(frontier(World(5).rows()), "support", file)
    assert "<svg" in file.read_text()


def test_the_command_reads_reviews_and_decisions_and_says_it_in_words_json_and_a_picture(
    home: Path, tmp_path: Path
) -> None:
    now, count = utc_now().isoformat(), 60
    rows = []
    for index in range(count):
        local = index % 3 > 0
        text = line("local" if local else "cloud/x", 0.9 if local else 0.4, "a", 0.0 if local else 0.002)
        digest = from_line(text.encode()).hash
        rows.append(Row(f"d{index}", "acme", "support", now, "file", index, digest, text))
    with Database(home / "decisions.db", DECISIONS) as database:
        Decisions(database).ship("node", "file", Position(), Position(seq=count), rows)
    with Database(home / "reviews.db", REVIEWS) as database:
        store = ReviewStore(database)
        for row in rows:
            found = Wanted(row.id, (SAMPLED,), 8, 0.5)
            route = "local" if row.seq % 3 else "cloud/x"
            store.enqueue(
                ReviewItem(found, row.id, "acme", "support", "{}", "{}", route, "a", 1, now, None), 100
            )
            store.vote("acme", "r", row.id, Truth(True, "a"), now)
    picture = tmp_path / "frontier.svg"
    asked = ["evaluate", "support", "--what-if", "--plot", str(picture)]
    said = CliRunner().invoke(build(), asked)
    assert said.exit_code == 0, said.output
    assert "60 reviewed decisions" in said.output
    assert "<svg" in picture.read_text()
    plain = json.loads(CliRunner().invoke(build(), [*asked, "--json"]).output)
    assert (plain["reviewed"], plain["model"]) == (count, "d")
    everything, unchanged = plain["points"][0], plain["points"][-1]
    assert (everything["threshold"], everything["local_share"], everything["assumed"]) == (0.4, 1.0, 0.0)
    assert unchanged["usd_per_1000"]["mean"] == pytest.approx(2 / 3)
    other = CliRunner().invoke(build(), [*asked, "--tenant", "globex"])
    assert "Too few to say anything" in other.output


def test_a_use_case_with_a_threshold_for_each_label_is_refused_rather_than_given_wrong_figures() -> None:
    for asked in (["evaluate", "fraud", "--what-if"], ["evaluate", "fraud", "--what-if", "--json"]):
        said = CliRunner().invoke(build(), asked)
        assert said.exit_code != 0
        assert isinstance(said.exception, ConfigError)
        assert "`local.risk.by_label` gives approve, decline a threshold each" in str(said.exception)
