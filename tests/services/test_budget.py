"""Limits, levels and refusals of a budget."""

import pytest

from services.budget import BudgetLimits, nobody_counts, refusal
from services.state.counters import ReserveReply, Use

LIMITS = BudgetLimits.from_usd(5.0, 0.002)


def test_limits_in_dollars_become_whole_nano_dollars() -> None:
    assert BudgetLimits(day=5_000_000_000, request=2_000_000) == LIMITS
    with pytest.raises(ValueError, match="expected 0 to"):
        BudgetLimits.from_usd(-1, 0)


@pytest.mark.parametrize(
    ("spent", "reserved", "level"),
    [(0, 0, "open"), (79, 0, "open"), (40, 40, "soft"), (99, 0, "soft"), (100, 0, "hard"), (60, 60, "hard")],
)
def test_the_level_is_soft_from_the_fraction_on_and_hard_when_nothing_is_left(
    spent: int, reserved: int, level: str
) -> None:
    assert BudgetLimits(100, 100, soft_fraction=0.8).level(Use(1, spent, reserved)) == level


def test_a_budget_of_nothing_is_hard_from_the_start() -> None:
    assert BudgetLimits(0, 0).level(Use(1, 0, 0)) == "hard"


@pytest.mark.parametrize(
    ("wish", "request_limit"),
    [(None, 2_000_000), (0.001, 1_000_000), (1.0, 2_000_000), (1e300, 2_000_000), (-1.0, 0), (0.0, 0)],
)
def test_a_caller_can_lower_what_a_request_may_cost_and_never_raise_it(
    wish: float | None, request_limit: int
) -> None:
    capped = LIMITS.capped(wish)
    assert (capped.request, capped.day) == (request_limit, LIMITS.day)


def test_a_refusal_says_what_stands_in_the_way_in_dollars() -> None:
    use = Use(1, 4_900_000_000, 99_500_000)
    day = refusal(ReserveReply("day", use), 1_200_000, LIMITS, "soft")
    assert (day.kind, day.level) == ("day", "soft")
    assert day.reason == (
        "the day's budget: this may cost 0.0012, and of 5 USD 4.9 are spent and 0.0995 reserved;"
        " it begins anew at midnight UTC"
    )
    one = refusal(ReserveReply("request", use, request_used=1_000_000), 1_200_000, LIMITS, "soft")
    assert one.reason == (
        "the request's budget: this may cost 0.0012, and of 0.002 USD 0.001 are used by its other attempts;"
        " with 0.0022 USD it would have been asked"
    )


def test_an_id_that_was_used_up_is_refused_with_what_to_do() -> None:
    for outcome, how in (("settled", "was settled before"), ("expired", "has expired")):
        refused = refusal(ReserveReply(outcome, Use(1, 0, 0)), 1, LIMITS, "open")  # type: ignore[arg-type]  # one of its outcomes
        assert refused.kind == "used_up"
        assert how in refused.reason
        assert "an id of its own" in refused.reason


def test_nobody_to_count_means_no() -> None:
    assert (nobody_counts().kind, nobody_counts().level) == ("store", "unknown")
