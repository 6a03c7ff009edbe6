"""Assignment: exact, sticky, monotone, independent, and the same everywhere."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.variants import Assignment, Exposure, Variant, Why, assign, place, sticky_key

EXPOSURE = Exposure("desk/local", "r-4f1c", stable="7", candidate="8", weight_percent=5)
SUBJECTS = [sticky_key("acme", f"subject-{n}", None, "r") for n in range(100_000)]

texts = st.text(max_size=40)
weights = st.floats(0, 100)


def _candidates(exposure: Exposure, keys: list[str] = SUBJECTS) -> list[bool]:
    return [assign(exposure, key).variant is Variant.CANDIDATE for key in keys]


@pytest.mark.parametrize("weight", [0, 0.5, 5, 25, 50, 100])
def test_weights_are_exact_to_half_a_point_over_100_000_subjects(weight: float) -> None:
    share = 100 * sum(_candidates(replace(EXPOSURE, weight_percent=weight))) / len(SUBJECTS)
    assert abs(share - weight) <= 0.5
    assert share == weight or 0 < weight < 100


@given(key=texts, one=weights, other=weights)
def test_whoever_is_in_at_a_smaller_weight_stays_in_at_a_larger_one(
    key: str, one: float, other: float
) -> None:
    small, large = sorted((one, other))
    if assign(replace(EXPOSURE, weight_percent=small), key).variant is Variant.CANDIDATE:
        assert assign(replace(EXPOSURE, weight_percent=large), key).variant is Variant.CANDIDATE


@pytest.mark.parametrize(
    "other",
    [
        replace(EXPOSURE, component="desk/cloud", weight_percent=25),
        replace(EXPOSURE, rollout="r-9a00", weight_percent=25),
    ],
    ids=["another component", "the next rollout"],
)
def test_rollouts_divide_the_same_subjects_independently(other: Exposure) -> None:
    """Chi-square of the 2x2 table, one degree of freedom: below its 99.9 % point."""
    mine, theirs = _candidates(replace(EXPOSURE, weight_percent=25)), _candidates(other)
    n = len(mine)
    chi = 0.0
    for a in (True, False):
        for b in (True, False):
            seen = sum(x is a and y is b for x, y in zip(mine, theirs, strict=True))
            expected = mine.count(a) * theirs.count(b) / n
            chi += (seen - expected) ** 2 / expected
    assert chi < 10.83


def test_places_are_uniform() -> None:
    """Kolmogorov-Smirnov distance of 20,000 places, below its 99.9 % point."""
    places = sorted(place(EXPOSURE, key) / 2**64 for key in SUBJECTS[:20_000])
    distance = max(abs(at - (n + 0.5) / len(places)) for n, at in enumerate(places))
    assert distance < 1.95 / math.sqrt(len(places))


def test_every_worker_says_the_same() -> None:
    """Another process, with another hash seed, gives the same places; a change of the hash would show."""
    code = (
        "from services.variants import *;"
        "e = Exposure('desk/local', 'r-4f1c', '7', '8', 5);"
        "print([place(e, sticky_key('acme', f'subject-{n}', None, 'r')) for n in range(50)])"
    )
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    ).stdout.strip()
    assert there == str([place(EXPOSURE, key) for key in SUBJECTS[:50]])
    assert place(EXPOSURE, SUBJECTS[0]) == 0xF8534CBA0B270CC8  # pinned: a rollout outlives an upgrade


@given(tenants=st.tuples(texts, texts), names=st.tuples(texts, texts))
def test_two_people_never_share_a_key(tenants: tuple[str, str], names: tuple[str, str]) -> None:
    one, other = zip(tenants, names, strict=True)
    assert (sticky_key(one[0], None, None, one[1]) == sticky_key(other[0], None, None, other[1])) == (
        one == other
    )


def test_the_subject_counts_first_then_the_session_then_the_request() -> None:
    assert sticky_key("t", "a", "b", "c") == sticky_key("t", "a", "x", "y")
    assert sticky_key("t", None, "b", "c") == sticky_key("t", "", "b", "y")
    assert (
        len({sticky_key("t", *names) for names in (("a", None, "a"), (None, "a", "a"), (None, None, "a"))})
        == 3
    )


@given(key=texts, weight=weights, forced=st.sampled_from([None, *Variant]))
def test_a_killed_component_answers_by_stable_whatever_is_asked(
    key: str, weight: float, forced: Variant | None
) -> None:
    exposure = replace(EXPOSURE, weight_percent=weight)
    assert assign(exposure, key, killed={"desk/local"}, forced=forced) == Assignment(
        "desk/local", "r-4f1c", Variant.STABLE, "7", Why.KILLED
    )


@pytest.mark.parametrize("forced", list(Variant))
def test_a_forced_assignment_holds_and_says_so(forced: Variant) -> None:
    got = assign(EXPOSURE, "anybody", killed={"desk/cloud"}, forced=forced)
    assert (got.variant, got.why) == (forced, Why.FORCED)


@pytest.mark.parametrize("weight", [-1, 100.1, float("nan")])
def test_a_weight_outside_0_to_100_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="0 to 100"):
        replace(EXPOSURE, weight_percent=weight)
