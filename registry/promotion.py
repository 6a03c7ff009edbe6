"""May this version lead? A pure rule: (candidate, champion, policy of the use case) -> decision with reasons.

Both are judged on the same rows. Of n rows, c went from right to wrong and b from wrong to right; the
loss is (c - b) / n. Its upper bound is the Clopper-Pearson upper limit of c / n less the lower limit of
b / n, each at half of what `confidence` leaves (Bonferroni), so it holds at any n, and errs to the safe
side. A candidate that loses no row at all needs no bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from registry.promise import Promise, refuted


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """How much worse still counts as not worse. All figures are shares of rows."""

    max_loss: float = 0.02
    confidence: float = 0.95
    slice_max_loss: float = 0.1
    min_slice_rows: int = 20
    freeze: str | None = None  # why nothing may be promoted now
    always_judged: tuple[str, ...] = ()  # slices that are judged however few rows they have
    contract_tests: bool = False  # must it have passed them? One that failed them is refused in any case


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of the version that would move to `stage`. `barred` says why its key may not sign for
    that, `unjudged` why there are no rows (`right` and `slices` are empty then), `contract_tests` what the
    report in the package says: the names of those that failed, or None when it has no report. `broken` is
    what consumers of the champion would miss, or None where a schema is not known. `unled` says why there
    should be a champion, where none is known. `promised` is what its acceptance rule lets through."""

    labels: tuple[str, ...]
    right: Sequence[bool]
    slices: Sequence[str]
    data_checks_passed: bool
    barred: str | None = None
    stage: str = "champion"
    contract_tests: tuple[str, ...] | None = None
    unjudged: str | None = None
    broken: tuple[str, ...] | None = None
    unled: str | None = None
    promised: tuple[Promise, ...] = ()


@dataclass(frozen=True, slots=True)
class Champion:
    """What leads now, judged on the candidate's own rows, in the same order."""

    labels: tuple[str, ...]
    right: Sequence[bool]


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition: `said` names expected and got."""

    name: str
    passed: bool
    said: str


@dataclass(frozen=True, slots=True)
class PromotionDecision:
    """Open when every gate is. `reason` is the first that is not, or why it is open."""

    gates: tuple[Gate, ...]

    @property
    def open(self) -> bool:
        return all(gate.passed for gate in self.gates)

    @property
    def reason(self) -> str:
        return next((g.said for g in self.gates if not g.passed), self.gates[-1].said)


def decide(candidate: Candidate, champion: Champion | None, policy: PromotionPolicy) -> PromotionDecision:
    """Judge all gates, so that a reader sees every reason at once. Raises ValueError on unpaired rows."""
    gates = [
        Gate("freeze", policy.freeze is None, f"promotions are frozen: {policy.freeze}"
             if policy.freeze else "no freeze is open"),
        Gate("data checks", candidate.data_checks_passed, "the data checks "
             + ("passed" if candidate.data_checks_passed else "did not pass")),
        Gate("key", candidate.barred is None, f"its key {candidate.barred}"
             if candidate.barred else f"its key may sign for stage '{candidate.stage}'"),
        _contract_tests(candidate.contract_tests, policy),
    ]  # fmt: skip
    if champion is None:
        if policy.always_judged:
            gates += [_answered(candidate, policy), _promise(candidate, policy)]
        said = candidate.unled or "there is no verified champion to compare with"
        return PromotionDecision((*gates, Gate("champion", candidate.unled is None, said)))
    lost = sorted(set(champion.labels) - set(candidate.labels))
    said = f"it cannot answer {len(lost)} of the champion's labels, such as '{lost[0]}'" if lost else ""
    gates.append(Gate("labels", not lost, said or "it answers all of the champion's labels"))
    gates.append(_schema(candidate.broken))
    if candidate.unjudged is not None:
        return PromotionDecision((*gates, Gate("rows", False, candidate.unjudged)))
    gates += [
        _promise(candidate, policy),
        _slices(candidate, champion, policy),
        _whole(candidate.right, champion.right, policy),
    ]
    return PromotionDecision(tuple(gates))


def _contract_tests(failed: tuple[str, ...] | None, policy: PromotionPolicy) -> Gate:
    if failed is None:
        asked = ", and the use case asks for them" if policy.contract_tests else ", and none are asked for"
        return Gate("contract tests", not policy.contract_tests, f"contract tests: none{asked}")
    named = f"did not pass: {', '.join(failed[:5])}" if failed else "passed"
    return Gate("contract tests", not failed, f"the contract tests {named}")


def _schema(broken: tuple[str, ...] | None) -> Gate:
    if broken is None:
        return Gate("schema", True, "the schema of one of both is not known, so they are not compared")
    lost = f"consumers of the champion would miss: {'; '.join(broken[:5])}"
    return Gate(
        "schema", not broken, lost if broken else "what consumers of the champion read is still there"
    )


def _promise(candidate: Candidate, policy: PromotionPolicy) -> Gate:
    """What is served is what the acceptance rule lets through, not every best guess."""
    broken = refuted(candidate.promised, policy.confidence)
    said = "; ".join(one.said for one in broken or candidate.promised)
    return Gate("promise", not broken, said or "no row was judged, so its promise was not looked at")


def _answered(candidate: Candidate, policy: PromotionPolicy) -> Gate:
    """Without a champion nothing says how often is often enough; never is not."""
    if candidate.unjudged is not None:
        return Gate("rows", False, candidate.unjudged)
    counts = {
        name: [r for r, its in zip(candidate.right, candidate.slices, strict=True) if its == name]
        for name in policy.always_judged
    }
    said = "; ".join(f"{sum(right)} of {len(right)} rows of '{name}' right" for name, right in counts.items())
    return Gate("slices", all(map(any, counts.values())), f"{said}; needed is one of each at least")


def upper_loss(worse: int, better: int, rows: int, confidence: float) -> float:
    """The most that accuracy fell, with `confidence`; see the top of this module (Clopper, Pearson 1934)."""
    from scipy.special import betaincinv  # not at import; and scipy.stats would take ten times as long

    tail = (1 - confidence) / 2
    most = 1.0 if worse == rows else float(betaincinv(worse + 1, rows - worse, 1 - tail))
    least = 0.0 if better == 0 else float(betaincinv(better, rows - better + 1, tail))
    return most - least


def _whole(ours: Sequence[bool], theirs: Sequence[bool], policy: PromotionPolicy) -> Gate:
    worse, better = _pairs(ours, theirs)
    rows = len(ours)
    counts = f"of {rows} rows, {better} better and {worse} worse than the champion's"
    if worse == 0:
        return Gate("accuracy", True, counts)
    bound = upper_loss(worse, better, rows, policy.confidence)
    said = f"{counts}; with {policy.confidence:.0%} confidence it loses at most {bound:.4f} of accuracy"
    return Gate("accuracy", bound <= policy.max_loss, f"{said}, allowed is {policy.max_loss}")


def _slices(candidate: Candidate, champion: Champion, policy: PromotionPolicy) -> Gate:
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(candidate.slices):
        rows.setdefault(name, []).append(row)
    if absent := sorted(set(policy.always_judged) - set(rows)):
        return Gate("slices", False, f"slice '{absent[0]}' is always judged, and no test row belongs to it")
    judged = {
        name: at
        for name, at in sorted(rows.items())
        if len(at) >= policy.min_slice_rows or name in policy.always_judged
    }
    for name, at in judged.items():
        worse, better = _pairs([candidate.right[i] for i in at], [champion.right[i] for i in at])
        if (loss := (worse - better) / len(at)) > policy.slice_max_loss:
            said = f"slice '{name}' loses {loss:.4f} of {len(at)} rows, allowed is {policy.slice_max_loss}"
            return Gate("slices", False, said)
    few = [row for name, at in rows.items() if name not in judged for row in at]
    worse, better = _pairs([candidate.right[i] for i in few], [champion.right[i] for i in few])
    # One row more or less is chance where there are so few; and where all are, the whole is judged anyway.
    if judged and (lost := worse - better) > max(1, policy.slice_max_loss * len(few)):
        said = f"slices of fewer than {policy.min_slice_rows} rows lose {lost} of their {len(few)} rows"
        return Gate("slices", False, f"{said}, allowed is {policy.slice_max_loss}")
    small = f"; {len(rows) - len(judged)} of fewer than {policy.min_slice_rows} rows are judged together"
    left = small if few else ""
    return Gate("slices", True, f"{len(judged)} slices are within {policy.slice_max_loss}{left}")


def _pairs(ours: Sequence[bool], theirs: Sequence[bool]) -> tuple[int, int]:
    pairs = list(zip(ours, theirs, strict=True))
    return sum(b and not a for a, b in pairs), sum(a and not b for a, b in pairs)
