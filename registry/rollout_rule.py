"""What to do with a rollout now: a pure function of what its two sides showed, safe to ask at any time.

Better or not worse: the next step. Worse: roll back. Undecided: hold, and pause at the time limit. A split
that is off: stop, since its numbers mean nothing. Sources of the formulas: `sequential.py`, `quantiles.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from registry.quantiles import log_not_slower, log_slower
from registry.rollout_evidence import Amounts, Latencies, Measured, Period, Rate
from registry.rollout_guard import CostMetric, Guard, LatencyMetric, Metric, RateMetric
from registry.sequential import Bernoulli, Bounded, log_mismatch, log_not_worse, log_worse


class Outcome(StrEnum):
    """What the numbers ask for."""

    ADVANCE = "advance"
    HOLD = "hold"
    PAUSE = "pause"
    ROLL_BACK = "roll_back"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Finding:
    """One metric: how much there is of it, and how strongly it speaks, as p-values valid at any time."""

    metric: str
    n_stable: int
    n_candidate: int
    p_worse: float
    p_not_worse: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome, why in one sentence, and the numbers that it rests on."""

    outcome: Outcome
    reason: str
    findings: tuple[Finding, ...] = ()
    p_mismatch: float = 1.0


def judge(
    guard: Guard,
    *,
    weight_percent: float,
    steps: int,
    whole: Period,
    settled: Period,
    elapsed_s: float,
    frozen: bool = False,
    next_percent: float = 0.0,
    earlier: Sequence[tuple[Period, Period]] = (),
) -> Verdict:
    """The verdict on one step.

    `weight_percent` is the candidate's share of live traffic (0 in shadow, where both sides see the same
    requests), `steps` how many steps of this rollout are judged in all, `whole` what was seen since the step
    began, `settled` the same without its first `novelty_s` seconds, `elapsed_s` the step's age, `frozen`
    whether the error budget is used up, `next_percent` the share that the next step would give, `earlier`
    the periods (whole, settled) of this rollout's steps before, for metrics that count `over_steps`. Rates
    speak against a candidate from its first request; latency and cost only when settled, since caches begin
    cold.
    """
    mismatch = _mismatch(weight_percent, whole)
    p_mismatch = _p(mismatch)
    if mismatch >= math.log(1 / guard.mismatch_alpha):
        reason = f"the split is not the {weight_percent:g} % that was meant (p = {p_mismatch:.2g})"
        return Verdict(Outcome.STOP, reason, (), p_mismatch)
    if weight_percent >= 100:
        return _alone(guard, settled, elapsed_s, frozen, p_mismatch)
    findings = tuple(_finding(metric, whole, settled, earlier) for metric in guard.metrics)

    def verdict(outcome: Outcome, reason: str) -> Verdict:
        return Verdict(outcome, reason, findings, p_mismatch)

    limit = math.exp(-guard.log_worse_bound(steps))
    if worse := [f"{f.metric} (p = {f.p_worse:.2g})" for f in findings if f.p_worse <= limit]:
        return verdict(Outcome.ROLL_BACK, f"worse than stable beyond its margin: {', '.join(worse)}")
    beyond = next_percent if weight_percent > 0 else 0.0  # of one in shadow nobody can have said anything
    if waits := _waits_for(guard, findings, elapsed_s, beyond):
        if elapsed_s >= guard.step_limit_s:
            return verdict(Outcome.PAUSE, f"undecided at the time limit: {waits}")
        return verdict(Outcome.HOLD, waits)
    if frozen:
        return verdict(Outcome.HOLD, "not worse, but the error budget is used up: no new step")
    return verdict(Outcome.ADVANCE, "not worse than stable by more than the margin, in every required metric")


def _alone(guard: Guard, settled: Period, elapsed_s: float, frozen: bool, p_mismatch: float) -> Verdict:
    """At 100 % nothing is left to compare with: the step is passed when it has lasted and seen traffic."""
    measured = (_of(settled.candidate.metrics.get(m.name), m) for m in guard.metrics if m.required)
    if elapsed_s < guard.novelty_s or min(one.n for one in measured) < guard.min_samples:
        if elapsed_s >= guard.step_limit_s:
            return Verdict(Outcome.PAUSE, "too little traffic within the time limit", (), p_mismatch)
        return Verdict(
            Outcome.HOLD, "everybody has it; waiting for min_samples after novelty_s", (), p_mismatch
        )
    if frozen:
        return Verdict(Outcome.HOLD, "the error budget is used up: no new step", (), p_mismatch)
    return Verdict(Outcome.ADVANCE, "passed every comparison, and everybody has it", (), p_mismatch)


def _waits_for(
    guard: Guard, findings: tuple[Finding, ...], elapsed_s: float, next_percent: float
) -> str | None:
    if elapsed_s < guard.novelty_s:
        return f"the first {guard.novelty_s:g} s do not count for a candidate"
    both = list(zip(guard.metrics, findings, strict=True))
    required = [(m, f) for m, f in both if m.required]
    if few := [f.metric for m, f in required if _few(f, guard.min_samples)]:
        return f"fewer than {guard.min_samples} samples of {', '.join(few)}"
    bound = math.exp(-guard.log_pass_bound)
    if open_ := [f.metric for _, f in required if f.p_not_worse > bound]:
        return f"not yet known whether worse: {', '.join(open_)}"
    late = ((m, f) for m, f in both if not m.required and isinstance(m, RateMetric))
    for metric, finding in late:
        beyond = metric.required_beyond_percent
        few_ = _few(finding, metric.min_samples or guard.min_samples)
        if beyond is not None and next_percent > beyond and (few_ or finding.p_not_worse > bound):
            return (
                f"nobody gets more than {beyond:g} % without evidence of '{metric.name}': seen "
                f"{finding.n_stable} of stable, {finding.n_candidate} of the candidate; feedback and reviews "
                "bring more, or a person decides by `promote`"
            )
    return None


def _few(finding: Finding, wanted: int) -> bool:
    return min(finding.n_candidate, finding.n_stable) < wanted


def _mismatch(weight_percent: float, whole: Period) -> float:
    if not 0 < weight_percent < 100:
        return -math.inf
    return log_mismatch(whole.stable.keys, whole.candidate.keys, weight_percent / 100)


def _finding(
    metric: Metric, whole: Period, settled: Period, earlier: Sequence[tuple[Period, Period]]
) -> Finding:
    """Evidence over steps is multiplied: each step's is worth at most one on average, whatever the others
    saw, so that their product is too; and no step's mix of requests is compared with another's."""
    periods = [(whole, settled)]
    if isinstance(metric, RateMetric) and metric.over_steps:
        periods += earlier
    worse = not_worse = 0.0
    stable = candidate = 0
    for all_, late in periods:
        worse += _logs(metric, all_ if isinstance(metric, RateMetric) else late)[0]
        not_worse += _logs(metric, late)[1]
        stable += _of(late.stable.metrics.get(metric.name), metric).n
        candidate += _of(late.candidate.metrics.get(metric.name), metric).n
    return Finding(metric.name, stable, candidate, p_worse=_p(worse), p_not_worse=_p(not_worse))


def _logs(metric: Metric, period: Period) -> tuple[float, float]:
    """Evidence of "worse" and of "not worse"."""
    stable, candidate = (_of(s.metrics.get(metric.name), metric) for s in (period.stable, period.candidate))
    if isinstance(stable, Latencies) and isinstance(candidate, Latencies):
        assert isinstance(metric, LatencyMetric)
        bins = (stable.dense(), candidate.dense(), metric.quantile, metric.ratio)
        return float(log_slower(*bins)), float(log_not_slower(*bins))
    if isinstance(metric, CostMetric):
        arms = (_bounded(stable, metric), _bounded(candidate, metric), metric.margin_usd / metric.bound_usd)
        return float(log_worse(*arms, metric.ratio)), float(log_not_worse(*arms, metric.ratio))
    assert isinstance(metric, RateMetric)
    rates = (_bernoulli(stable), _bernoulli(candidate), metric.margin)
    return float(log_worse(*rates)), float(log_not_worse(*rates))


def _of(measured: Measured | None, metric: Metric) -> Measured:
    """What was measured, or nothing yet. Raises `ValueError` when it is of another kind."""
    kind: type[Rate] | type[Latencies] | type[Amounts] = _KINDS[metric.kind]
    found = kind() if measured is None else measured
    if not isinstance(found, kind):
        raise ValueError(f"metric {metric.name}: expected {kind.__name__}, got {type(found).__name__}")
    return found


_KINDS = {"rate": Rate, "latency": Latencies, "cost": Amounts}


def _bernoulli(measured: Measured) -> Bernoulli:
    assert isinstance(measured, Rate)
    return Bernoulli(measured.n, measured.hits)


def _bounded(measured: Measured, metric: CostMetric) -> Bounded:
    assert isinstance(measured, Amounts)
    bound = metric.bound_usd
    return Bounded(measured.n, measured.total / bound, measured.deviation / bound**2)


def _p(log_e: float) -> float:
    return math.exp(min(-log_e, 0.0))
