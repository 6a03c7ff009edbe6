"""The plan is a pure function: order, permissions and endpoint states in, attempts with reasons out."""

from services.plan import make_plan
from services.values import Answer, Verdict
from tests.fakes import FakeTarget

ORDER = ("rules", "local", "cloud/primary", "safe_default")
YES = Verdict(True, ("permit-it",), "permitted by permit-it")
NO = Verdict(False, ("forbid-it",), "forbidden by forbid-it")


def plan(denied=(), missing=None, closed=None):
    targets = {name: FakeTarget(name, Answer({})) for name in ORDER if name not in (missing or {})}
    return make_plan(
        ORDER,
        targets,
        missing or {},
        permits=lambda target: NO if target.name in denied else YES,
        closed=(closed or {}).get,
    )


def test_targets_are_planned_in_the_use_cases_order_each_with_its_reason():
    made = plan()
    assert [a.target for a in made.attempts] == list(ORDER)
    assert made.attempts[0].reason == "first in the plan; permitted by permit-it"
    assert made.attempts[2].reason == "if local does not answer; permitted by permit-it"
    assert made.left_out == ()


def test_a_target_that_policy_does_not_permit_is_left_out_with_the_deciding_policies():
    made = plan(denied=["cloud/primary"])
    assert [a.target for a in made.attempts] == ["rules", "local", "safe_default"]
    (left,) = made.left_out
    assert (left.target, left.outcome, left.policy_ids) == ("cloud/primary", "denied", ("forbid-it",))
    assert "forbidden by forbid-it" in left.reason


def test_a_target_that_is_not_there_is_left_out_and_says_what_to_do():
    (left,) = plan(missing={"local": "no local model; train one"}).left_out
    assert (left.target, left.outcome, left.reason) == ("local", "skipped", "no local model; train one")


def test_a_closed_endpoint_is_left_out_with_its_reason():
    (left,) = plan(closed={"cloud/primary": "its breaker is open"}).left_out
    assert (left.target, left.outcome, left.reason) == ("cloud/primary", "skipped", "its breaker is open")


def test_a_denied_target_is_not_asked_about_its_state():
    (left,) = plan(denied=["cloud/primary"], closed={"cloud/primary": "its breaker is open"}).left_out
    assert left.outcome == "denied"
