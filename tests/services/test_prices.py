"""Prices and costs."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.prices import (
    MAX_NANOS,
    UNPRICED,
    Prices,
    PriceTable,
    Usage,
    cost_usd,
    nanos_from_usd,
    prompt_tokens_upper_bound,
    worst_case_usd,
)

tokens = st.integers(0, 2_000_000)
usd = st.decimals(0, 200, places=4).map(float)


def test_a_cost_is_input_output_and_cached_tokens_at_their_own_prices() -> None:
    prices = Prices.from_usd(0.15, 0.60, 0.075)
    cost = cost_usd(Usage(input_tokens=1000, output_tokens=100, cached_tokens=400), prices)
    assert cost.nanos == 600 * 150 + 400 * 75 + 100 * 600
    assert cost.usd == pytest.approx(0.00018)
    assert cost.priced


def test_a_price_below_a_nano_dollar_a_token_is_exact_and_a_cost_is_rounded_up() -> None:
    prices = Prices.from_usd(0.0375, 0.15)
    assert cost_usd(Usage(1, 0), prices).nanos == 38
    assert cost_usd(Usage(2, 0), prices).nanos == 75


def test_cached_tokens_without_a_price_of_their_own_cost_what_input_costs() -> None:
    assert cost_usd(Usage(10, 0, 10), Prices.from_usd(1.0, 1.0)).nanos == 10_000


def test_cached_tokens_with_a_price_of_zero_are_free() -> None:
    assert cost_usd(Usage(10, 0, 10), Prices.from_usd(1.0, 1.0, 0.0)).nanos == 0


@pytest.mark.parametrize(
    ("usage", "prices", "why"),
    [
        (None, Prices.from_usd(1, 1), "did not report"),
        (Usage(10, 10), UNPRICED, "no price"),
        (Usage(10, 10), Prices.from_usd(1, None), "no price"),
        (Usage(10, 10), Prices.from_usd(None, 1), "no price"),
        (Usage(10, -1), Prices.from_usd(1, 1), "negative"),
        (Usage(10, 10, 11), Prices.from_usd(1, 1), "more cached"),
    ],
)
def test_usage_that_cannot_be_priced_is_flagged_and_never_zero(
    usage: Usage | None, prices: Prices, why: str
) -> None:
    cost = cost_usd(usage, prices)
    assert not cost.priced
    assert cost.nanos is None
    assert cost.usd is None
    assert why in cost.reason


def test_a_price_of_zero_is_free_and_priced() -> None:
    free = Prices.from_usd(0.0, 0.0)
    assert free.free
    assert cost_usd(Usage(10, 10), free) == cost_usd(Usage(0, 0), Prices.from_usd(1, 1))
    assert not UNPRICED.free
    assert not Prices.from_usd(0.0, 0.0, 0.1).free


def test_an_endpoint_that_the_table_does_not_list_is_unpriced() -> None:
    table = PriceTable({"a": Prices.from_usd(1, 2)})
    assert table.of("a").known
    assert table.of("b") is UNPRICED
    assert not worst_case_usd(1, 1, table.of("b")).priced


@given(given_=tokens, written=tokens, share=st.floats(0, 1), prices=st.tuples(usd, usd, usd | st.none()))
def test_no_call_within_its_bounds_costs_more_than_its_worst_case(
    given_: int, written: int, share: float, prices: tuple[float, float, float | None]
) -> None:
    table = Prices.from_usd(*prices)
    cost = cost_usd(Usage(given_, written, int(given_ * share)), table).nanos
    worst = worst_case_usd(given_, written, table).nanos
    assert cost is not None
    assert worst is not None
    assert cost <= worst


@given(given_=tokens, written=tokens, prices=st.tuples(usd, usd))
def test_a_cost_differs_from_the_exact_fraction_by_less_than_a_nano_dollar(
    given_: int, written: int, prices: tuple[float, float]
) -> None:
    exact = (given_ * Fraction(repr(prices[0])) + written * Fraction(repr(prices[1]))) * 1000
    cost = cost_usd(Usage(given_, written), Prices.from_usd(*prices)).nanos
    assert cost is not None
    assert 0 <= cost - exact < 1


def test_dollars_become_whole_nano_dollars_without_drift() -> None:
    assert nanos_from_usd(0.1) * 3 == nanos_from_usd(0.3)
    assert nanos_from_usd(1.2345678911) == 1_234_567_891
    assert nanos_from_usd(1.2345678911, up=True) == 1_234_567_892


@pytest.mark.parametrize("usd_", [-0.01, float("nan"), float("inf"), MAX_NANOS / 1e9 * 2])
def test_an_amount_that_cannot_be_is_refused(usd_: float) -> None:
    with pytest.raises(ValueError, match="expected 0 to"):
        nanos_from_usd(usd_)


def test_usage_is_read_as_openai_reports_it() -> None:
    raw = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    assert Usage.from_openai(raw) == Usage(9, 3, 4)
    assert Usage.from_openai({"prompt_tokens": 9, "completion_tokens": 3}) == Usage(9, 3, 0)
    details = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": None}}
    assert Usage.from_openai(details) == Usage(9, 3, 0)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"prompt_tokens": 1},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 10**18, "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": "9", "completion_tokens": 1},
        {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": "x"}},
    ],
)
def test_usage_that_makes_no_sense_is_no_usage(raw: dict[str, object] | None) -> None:
    assert Usage.from_openai(raw) is None


@given(st.lists(st.text(max_size=50), max_size=5))
def test_a_prompt_has_at_most_as_many_tokens_as_bytes(texts: list[str]) -> None:
    assert prompt_tokens_upper_bound(texts) >= sum(
        len(text.encode("utf-8", "surrogatepass")) for text in texts
    )
