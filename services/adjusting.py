"""Should the local model's threshold move, within the team's bounds? Pure: frontier in, decision out.

Too dear: down, to the highest threshold that can be paid. Certainly more often right (the interval of the
gain is above 0): there. No less often right and cheaper: down. Never below `floor`, the calibrated threshold
that keeps the promise; never above `highest`; upward never more than `step` into what nobody has seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from feature_checks.cost_spec import CostSpec
from services.what_if import FEWEST, Point

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`threshold` None: it stays. `figures` are those that decided, per 1,000 answers and as shares."""

    threshold: float | None
    reason: str
    figures: Mapping[str, float]


def waiting(spec: CostSpec, last_at_s: float | None, now_s: float) -> str | None:
    """Why it is too early for another change; None when it is not. A change from the future, by a clock that
    differs, counts as one of now."""
    if last_at_s is None:
        return None
    left = spec.every_hours - max(0.0, now_s - last_at_s) / HOUR_S
    if left <= 0:
        return None
    return f"changed within the last {spec.every_hours:g} hours; the next change may come in {left:.1f} hours"


def decide(points: Sequence[Point], spec: CostSpec, floor: float, current: float) -> Verdict:
    """`points` come from `frontier(..., against=current)` and hold one at `floor` and one at `current`."""
    at = {point.threshold: point for point in points}
    if not points:
        return Verdict(None, f"fewer than {FEWEST} reviewed decisions: nothing is known", {})
    if floor > spec.highest:
        return Verdict(None, f"the calibrated threshold {floor:.4g} is above `highest`: no room to move", {})
    now = at[current]
    allowed = [p for p in points if floor <= p.threshold <= spec.highest]
    affordable = [p for p in allowed if p.usd_per_1000.mean <= spec.usd_per_1000]
    if now.usd_per_1000.mean > spec.usd_per_1000:
        lower = [p for p in affordable if p.threshold < current]
        return _to(
            lower[-1] if lower else at[floor], now, f"over {spec.usd_per_1000:g} USD per 1,000 answers"
        )
    seen = [p for p in affordable if p.threshold < current or p.assumed - now.assumed <= spec.step]
    better = [p for p in seen if p.gain is not None and p.gain.low > 0]
    if better:
        return _to(max(better, key=lambda p: p.gain.mean if p.gain else 0.0), now, "more often right")
    cheaper = [p for p in seen if p.threshold < current and p.gain is not None and p.gain.low >= 0]
    if cheaper:
        return _to(cheaper[0], now, "cheaper, and no less often right")
    return Verdict(None, "no threshold within the bounds is certainly better", _figures(now))


def _to(point: Point, now: Point, why: str) -> Verdict:
    if point.threshold == now.threshold:
        return Verdict(
            None, f"{why}, and already at the lowest threshold that keeps the promise", _figures(now)
        )
    usd, right = point.usd_per_1000.mean, point.correct.mean
    reason = (
        f"{why}: {now.usd_per_1000.mean:.3g} -> {usd:.3g} USD per 1,000 answers, "
        f"{now.correct.mean:.1%} -> {right:.1%} right"
    )
    return Verdict(point.threshold, reason, {**_figures(now), "usd_after": usd, "right_after": right})


def _figures(now: Point) -> dict[str, float]:
    return {"usd_before": now.usd_per_1000.mean, "right_before": now.correct.mean}
