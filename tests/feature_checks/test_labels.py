"""The poisoning defence on made tables: what must be found, and what must be left alone."""

import numpy as np
import pytest

from feature_checks.floods import near_duplicates, strange_bursts
from feature_checks.influence import balanced, capped
from feature_checks.labels import label_errors, label_suspects, unreliable_sources

LABELS = 8


def table(n: int, wrong: np.ndarray, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a model that is right in 92 of 100, and labels that are lies where `wrong`."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, LABELS, n)
    seen = np.where(draw.random(n) < 0.92, truth, draw.integers(0, LABELS, n))
    sure = draw.uniform(0.6, 0.98, n)
    probabilities = np.repeat(((1 - sure) / (LABELS - 1))[:, None], LABELS, axis=1)
    probabilities[np.arange(n), seen] = sure
    return probabilities, np.where(wrong, (truth + 1 + draw.integers(0, LABELS - 1, n)) % LABELS, truth)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lies", [0.5, 1.0])
def test_a_reviewer_who_lies_is_found_and_the_others_are_left_alone(seed: int, lies: float) -> None:
    n = 3000
    sources = [f"r{one % 10}" for one in range(n)]
    wrong = (np.arange(n) % 10 == 0) & (np.random.default_rng(seed).random(n) < lies)
    probabilities, given = table(n, wrong, seed)
    found = {one.row for one in unreliable_sources(probabilities, given, sources)}
    assert {sources[row] for row in found} == {"r0"}
    assert len(found & set(np.flatnonzero(wrong).tolist())) >= 0.9 * wrong.sum()
    assert len(found - set(np.flatnonzero(wrong).tolist())) <= 0.05 * (~wrong).sum()


@pytest.mark.parametrize("seed", range(5))
def test_honest_reviewers_and_those_of_few_labels_are_not_accused(seed: int) -> None:
    n = 2000
    probabilities, given = table(n, np.zeros(n, bool), seed)
    sources = [f"r{one % 10}" for one in range(n - 5)] + ["new"] * 5
    given[-5:] = (given[-5:] + 1) % LABELS
    assert unreliable_sources(probabilities, given, sources) == []


def test_a_trusted_source_is_never_accused() -> None:
    wrong = np.arange(1000) % 2 == 0
    probabilities, given = table(1000, wrong)
    sources = ["published" if one else "r1" for one in wrong]
    assert unreliable_sources(probabilities, given, sources)
    assert unreliable_sources(probabilities, given, sources, frozenset({"published"})) == []


def test_single_wrong_labels_are_found() -> None:
    wrong = np.random.default_rng(3).random(2000) < 0.1
    probabilities, given = table(2000, wrong)
    found = np.zeros(2000, bool)
    found[[one.row for one in label_errors(probabilities, given)]] = True
    assert found[wrong].mean() >= 0.8
    assert found[~wrong].mean() <= 0.1
    assert label_errors(np.zeros((0, 3)), np.zeros(0, np.int64)) == []


def test_a_flood_from_one_source_keeps_its_first_few_rows_and_many_peoples_words_stay() -> None:
    flood = [f"transfer 1{n} coins to my wallet now please" for n in range(30)]
    others = [
        f"{word} is what i would like to know about" for word in ["cards", "loans", "rates", "fees", "tax"]
    ]
    texts, sources = flood + others, ["mallory"] * 30 + ["r1"] * len(others)
    found = near_duplicates(texts, sources)
    assert {one.row for one in found} == set(range(5, 30))
    assert near_duplicates(flood, [f"r{n}" for n in range(30)]) == []


def test_a_burst_of_strange_rows_is_found_by_its_source() -> None:
    draw = np.random.default_rng(2)

    def unit(points: np.ndarray) -> np.ndarray:
        return points / np.linalg.norm(points, axis=1, keepdims=True)

    near = np.array([1.0] + [0.0] * 15)
    known = unit(near + 0.1 * draw.normal(size=(500, 16)))
    usual = unit(near + 0.1 * draw.normal(size=(100, 16)))
    strange = unit(-near + 0.1 * draw.normal(size=(20, 16)))
    sources = ["r1"] * 100 + ["mallory"] * 20
    found = {one.row for one in strange_bursts(known, np.vstack([usual, strange]), sources)}
    assert found == set(range(100, 120))


def test_caps_hold_for_every_label_and_leave_small_groups_alone() -> None:
    labels = ["a"] * 40 + ["b"] * 6
    tenants = ["big"] * 35 + ["small"] * 5 + ["big"] * 6
    kept = capped(labels, tenants, 0.5, seed=1)
    assert kept[35:40].all()
    assert kept[:35].sum() == 5
    assert kept[40:].sum() == 5
    assert capped(labels, tenants, 1.0, seed=1).all()
    weak = [one % 2 == 0 for one in range(46)]
    chosen = balanced(labels, weak, 10, seed=1)
    assert (chosen[:40].sum(), chosen[40:].sum()) == (10, 6)
    assert not any(weak[row] for row in np.flatnonzero(chosen[:40]))


def test_a_liar_does_not_make_the_labels_of_others_doubtful() -> None:
    """Even where only the liar uses a label, and where all rows are the liar's."""
    n = 2000
    wrong = np.arange(n) % 10 == 0
    probabilities, given = table(n, wrong)
    given[(given == LABELS - 1) & ~wrong] = 0
    given[wrong] = LABELS - 1
    sources = ["mallory" if one else "r1" for one in wrong]
    found = label_suspects(probabilities, given, sources)
    assert {one.row for one in found if one.check == "unreliable_source"} <= set(
        np.flatnonzero(wrong).tolist()
    )
    assert sum(not wrong[one.row] for one in found) <= 0.15 * n
    assert label_suspects(probabilities, given, ["mallory"] * n)
