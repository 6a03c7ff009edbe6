"""Which decisions are reviewed: by rule and by a random sample that nobody can steer."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from feature_checks.review_spec import ReviewSpec
from feature_checks.usecase import RetentionSpec
from services.reviews import SAMPLED, in_sample, review_item, wanted
from services.synthesis import Outcome
from services.values import AttemptRecord
from tests.fakes import support
from tests.services.evidence.made import OUTCOME, envelope

KEY = b"k" * 32
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = ReviewSpec(when=("low_confidence", "validator_failed"))
UNSURE, REFUSED = AttemptRecord("local", "declined", ""), AttemptRecord("cloud/a", "refused", "")


def outcome(*attempts: AttemptRecord, **changes: Any) -> Outcome:
    return replace(OUTCOME, attempts=attempts, **changes)


def test_each_reason_counts_only_where_the_use_case_names_it() -> None:
    both = outcome(UNSURE, REFUSED)
    found = wanted(SPEC, envelope(), both, KEY)
    assert found is not None
    assert found.why == ("low_confidence", "validator_failed")
    only = wanted(ReviewSpec(when=("low_confidence",)), envelope(), both, KEY)
    assert only is not None
    assert only.why == ("low_confidence",)
    assert wanted(ReviewSpec(), envelope(), both, KEY) is None
    assert wanted(SPEC, envelope(), outcome(), KEY) is None
    assert wanted(SPEC.model_copy(update={"max_queue": 0}), envelope(), both, KEY) is None


def test_the_sample_comes_first_then_failed_validators_then_what_nobody_answered() -> None:
    def rank(rate: float, *attempts: AttemptRecord, route: str = "local") -> int:
        spec = SPEC.model_copy(update={"sample_rate": rate})
        found = wanted(spec, envelope(), outcome(*attempts, route=route), KEY)
        assert found is not None
        return found.rank

    falling = [
        rank(1.0), rank(0, REFUSED, route="safe_default"), rank(0, REFUSED),
        rank(0, UNSURE, route="safe_default"), rank(0, UNSURE),
    ]  # fmt: skip
    assert falling == sorted(set(falling), reverse=True)
    assert rank(1.0, REFUSED, UNSURE, route="safe_default") == rank(1.0)  # content must not order the sample


def test_the_same_redacted_request_of_a_tenant_is_one_review() -> None:
    ids = [
        wanted(SPEC, one, outcome(UNSURE), KEY).id  # type: ignore[union-attr]  # it is wanted
        for one in (
            envelope(), envelope(), envelope(tenant="globex"), envelope(use_case="other"),
            replace(envelope(), digest="1" * 64),
        )
    ]  # fmt: skip
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.floats(0, 1), st.floats(0, 1))
def test_whoever_is_in_a_smaller_sample_is_in_every_larger_one(name: str, one: float, two: float) -> None:
    """And none is in an empty one, all are in a full one; asked again, it says the same."""
    small, large = sorted((one, two))
    assert in_sample(KEY, name, large) or not in_sample(KEY, name, small)
    assert in_sample(KEY, name, small) == in_sample(KEY, name, small)
    assert not in_sample(KEY, name, 0.0)
    assert in_sample(KEY, name, 1.0)


def test_the_sample_has_its_rate_and_cannot_be_foreseen_without_the_key() -> None:
    """Of 20,000, within five standard errors; two keys draw independently."""
    names = [f"{i:032x}" for i in range(20_000)]
    ours = {name for name in names if in_sample(KEY, name, 0.1)}
    others = {name for name in names if in_sample(b"o" * 32, name, 0.1)}
    assert abs(len(ours) - 2000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5
    assert abs(len(ours & others) - 200) < 5 * (20_000 * 0.01 * 0.99) ** 0.5


def test_an_item_says_when_retention_wants_its_contents_gone() -> None:
    """By the use case's tags; by the deployment's days where it says nothing; else never."""
    usecase = support()
    found = wanted(SPEC, envelope(), outcome(UNSURE), KEY)
    assert found is not None
    kept = usecase.model_copy(update={"retention": RetentionSpec(default_days=9, by_tag={"user_content": 2})})
    tagged = envelope(tags=("user_content",))
    assert review_item(found, kept, tagged, OUTCOME, NOW, 30).expires_at == "2026-01-03T00:00:00+00:00"
    assert review_item(found, usecase, tagged, OUTCOME, NOW, 30).expires_at == "2026-01-31T00:00:00+00:00"
    assert review_item(found, usecase, tagged, OUTCOME, NOW, None).expires_at is None


def test_a_sampled_decision_knows_its_rate() -> None:
    found = wanted(ReviewSpec(sample_rate=1.0), envelope(), OUTCOME, KEY)
    assert found is not None
    assert (found.why, found.rate, found.sampled) == ((SAMPLED,), 1.0, True)
