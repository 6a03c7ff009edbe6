"""The rule of promotion: paired, bounded, slice by slice, and every reason is told."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.promotion import Candidate, Champion, PromotionPolicy, decide, upper_loss

POLICY = PromotionPolicy()
LABELS = ("a", "b")


def candidate(right: list[bool], slices: list[str] | None = None) -> Candidate:
    return Candidate(LABELS, right, slices or ["all"] * len(right), data_checks_passed=True)


def champion(right: list[bool]) -> Champion:
    return Champion(LABELS, right)


def rows(worse: int, better: int, same: int) -> tuple[list[bool], list[bool]]:
    ours = [False] * worse + [True] * better + [True] * same
    theirs = [True] * worse + [False] * better + [True] * same
    return ours, theirs


@pytest.mark.parametrize(
    ("worse", "better", "same", "opened"),
    [
        pytest.param(0, 0, 40, True, id="equal, few rows"),
        pytest.param(0, 5, 40, True, id="better"),
        pytest.param(60, 60, 2960, True, id="as good, other mistakes, many rows"),
        pytest.param(3, 3, 60, False, id="as good, other mistakes, too few rows to know"),
        pytest.param(90, 30, 2960, False, id="worse"),
        pytest.param(20, 100, 2960, True, id="clearly better, though not on each row"),
    ],
)
def test_not_worse_is_a_bound_on_paired_rows(worse: int, better: int, same: int, opened: bool) -> None:
    ours, theirs = rows(worse, better, same)
    assert decide(candidate(ours), champion(theirs), POLICY).open is opened


def test_the_bound_is_clopper_and_pearsons() -> None:
    """One of 20, two-sided 95 %: 0.0013 to 0.2487, as in their tables."""
    assert upper_loss(1, 0, 20, 0.95) == pytest.approx(0.2487, abs=1e-4)
    assert upper_loss(0, 1, 20, 0.95) == pytest.approx(0.1684 - 0.0013, abs=1e-4)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 200))
def test_the_bound_is_never_below_what_was_seen_and_worse_never_helps(
    worse: int, better: int, same: int
) -> None:
    total = worse + better + same
    bound = upper_loss(worse, better, total, 0.95)
    assert bound >= (worse - better) / total
    assert upper_loss(worse + 1, better, total, 0.95) >= bound


def test_a_rare_label_that_is_never_said_any_more_shuts_the_gate_though_its_rows_are_few() -> None:
    ours, theirs = [False] * 5 + [False] * 11 + [True] * 2290, [True] * 5 + [False] * 11 + [True] * 2290
    slices = ["rare"] * 16 + ["usual"] * 2290
    decision = decide(candidate(ours, slices), champion(theirs), POLICY)
    assert [gate.name for gate in decision.gates if not gate.passed] == ["slices"]
    assert "slices of fewer than 20 rows lose 5 of their 16 rows" in decision.reason
    assert decide(candidate([*theirs[1:5], False, *theirs[5:]], slices), champion(theirs), POLICY).open


def test_where_there_should_be_a_champion_and_none_is_known_the_gate_is_shut() -> None:
    asked = replace(candidate([]), unled="the signed log lets version 1 lead")
    assert not decide(asked, None, POLICY).open
    assert decide(asked, None, POLICY).reason == "the signed log lets version 1 lead"
    assert decide(candidate([]), None, POLICY).open


def test_a_slice_that_suffers_shuts_the_gate_though_the_whole_is_better() -> None:
    ours, theirs = rows(5, 100, 2000)
    slices = ["small"] * 5 + ["large"] * 100 + ["small"] * 20 + ["large"] * 1980
    decision = decide(candidate(ours, slices), champion(theirs), POLICY)
    assert not decision.open
    assert "slice 'small' loses 0.2000 of 25 rows" in decision.reason
    assert [gate.name for gate in decision.gates if not gate.passed] == ["slices"]


def test_each_gate_shuts_alone_and_all_reasons_are_told_at_once() -> None:
    good = candidate([True] * 40)
    theirs = champion([True] * 40)
    assert decide(good, theirs, POLICY).open
    assert decide(good, None, POLICY).open
    shut = {
        "freeze": decide(good, theirs, replace(POLICY, freeze="audit")),
        "data checks": decide(replace(good, data_checks_passed=False), theirs, POLICY),
        "key": decide(replace(good, barred="expired"), theirs, POLICY),
        "labels": decide(replace(good, labels=("a",)), theirs, POLICY),
        "schema": decide(replace(good, broken=("output 'reply' is gone",)), theirs, POLICY),
    }
    for name, decision in shut.items():
        assert [gate.name for gate in decision.gates if not gate.passed] == [name]
    assert "would miss: output 'reply' is gone" in shut["schema"].reason
    assert decide(replace(good, broken=()), theirs, POLICY).open
    all_at_once = decide(
        replace(good, barred="expired", data_checks_passed=False), None, replace(POLICY, freeze="audit")
    )
    assert sum(not gate.passed for gate in all_at_once.gates) == 3


def test_rows_that_are_not_the_same_rows_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        decide(candidate([True] * 4), champion([True] * 5), POLICY)


def test_contract_tests_that_are_asked_for_and_that_nobody_ran_shut_the_gate() -> None:
    nobody_ran = Candidate(("a",), [], [], data_checks_passed=True)
    assert decide(nobody_ran, None, PromotionPolicy()).open
    refused = decide(nobody_ran, None, PromotionPolicy(contract_tests=True))
    assert (refused.open, refused.reason) == (False, "contract tests: none, and the use case asks for them")


def test_a_version_that_never_gives_a_rare_label_does_not_lead_where_that_label_is_always_judged() -> None:
    """16 of 2,306 rows are fraud: approving everything loses 0.3 % of all rows, and every fraud."""
    truth = ["approve"] * 2290 + ["decline"] * 16
    blind, sees_some = candidate([True] * 2290 + [False] * 16, truth), [True] * 2297 + [False] * 9
    always = replace(POLICY, always_judged=("decline",))
    refused = decide(blind, champion(sees_some), always)
    assert (refused.open, refused.reason) == (
        False, "slice 'decline' loses 0.4375 of 16 rows, allowed is 0.1"
    )  # fmt: skip
    assert decide(candidate(sees_some, truth), champion(sees_some), always).open
    first = decide(blind, None, always)
    assert (first.open, first.reason) == (
        False, "0 of 16 rows of 'decline' right; needed is one of each at least"
    )  # fmt: skip
    assert decide(candidate(sees_some, truth), None, always).open


def test_without_rows_of_a_label_that_is_always_judged_nothing_is_promoted() -> None:
    always = replace(POLICY, always_judged=("decline",))
    none = candidate([True] * 40, ["approve"] * 40)
    assert not decide(none, champion([True] * 40), always).open
    assert not decide(none, None, always).open
    gone = replace(none, right=[], slices=[], unjudged="the rows are not there")
    assert decide(gone, None, always).reason == "the rows are not there"
