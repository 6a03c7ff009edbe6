"""How often rollout verdicts are wrong, and how soon they come: `python -m bench.rollout_statistics`.

Simulated traffic is judged every second by the functions that judge real rollouts. Prints the table of
docs/rollout-statistics.md.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from registry.quantiles import BINS, FIRST_MS, GROWTH, log_slower
from registry.rollout_guard import DEFAULT_GUARD
from registry.sequential import Array, Bernoulli, log_mismatch, log_not_worse, log_worse

PER_SECOND = 50
STEPS = (5, 25, 50)


@dataclass(frozen=True, slots=True)
class Rates:
    """Running counts after each second: (rollouts, seconds)."""

    n_stable: Array
    hits_stable: Array
    n_candidate: Array
    hits_candidate: Array


def traffic(
    random: np.random.Generator,
    rollouts: int,
    seconds: int,
    weight_percent: float,
    stable: float | Array,
    candidate: float | Array,
) -> Rates:
    """Requests divided by weight, each with its arm's rate (a number, or one for each second)."""
    shape = (rollouts, seconds)
    ours = random.binomial(PER_SECOND, weight_percent / 100, shape)
    theirs = PER_SECOND - ours
    hits = random.binomial(ours, np.broadcast_to(candidate, shape))
    their_hits = random.binomial(theirs, np.broadcast_to(stable, shape))
    return Rates(*(np.cumsum(a, axis=1, dtype=float) for a in (theirs, their_hits, ours, hits)))


def ever_worse(rates: Rates, margin: float, log_bound: float) -> Array:
    """Whether any look found "worse": one truth value for each rollout.

    Evidence at any single stable mean is at least the smallest one, so the search is only made where one
    mean leaves room.
    """
    mean = np.clip(
        (rates.hits_stable + rates.hits_candidate - margin * rates.n_candidate)
        / (rates.n_stable + rates.n_candidate),
        0,
        1 - margin,
    )
    most = Bernoulli(rates.n_candidate, rates.hits_candidate).log_above(mean + margin)
    most = most + Bernoulli(rates.n_stable, rates.hits_stable).log_below(mean)
    found = np.zeros(most.shape, dtype=bool)
    at = np.nonzero(most >= log_bound)
    stable = Bernoulli(rates.n_stable[at], rates.hits_stable[at])
    candidate = Bernoulli(rates.n_candidate[at], rates.hits_candidate[at])
    if at[0].size:
        found[at] = log_worse(stable, candidate, margin) >= log_bound
    return found


def share_ever_worse(
    random: np.random.Generator,
    rollouts: int,
    seconds: int,
    weight: float,
    stable: float | Array,
    candidate: float | Array,
    margin: float,
    alpha: float = 0.05,
) -> float:
    """Of one metric with all of alpha: the share of rollouts that any look called worse."""
    rates = traffic(random, rollouts, seconds, weight, stable, candidate)
    return float(ever_worse(rates, margin, math.log(1 / alpha)).any(axis=1).mean())


def share_rolled_back(random: np.random.Generator, rollouts: int, seconds: int) -> float:
    """A/A of whole rollouts under the default guard: three compared steps, each metric looked at every
    second (latency twelve times), none of them ended early."""
    back = np.zeros(rollouts, dtype=bool)
    bound = DEFAULT_GUARD.log_worse_bound(len(STEPS) + 1)
    for weight in STEPS:
        for metric in DEFAULT_GUARD.metrics:
            if metric.kind == "rate":
                rates = traffic(random, rollouts, seconds, weight, 0.02, 0.02)
                back |= ever_worse(rates, metric.margin, bound).any(axis=1)
    slow = latencies_called_slower(random, rollouts, 12, 25, 1.2, bound)
    return float((back | slow).mean())


OVER_STEPS = (0.01, 0.06, 0.02)
"""Stable's rate in each of three steps: it may move, since no step is compared with another."""


def share_over_steps(
    random: np.random.Generator, rollouts: int, looks: int, harm: float, margin: float, *, worse: bool
) -> float:
    """The evidence of three steps multiplied, as of reviews: the share of rollouts in which any look found
    "worse", or "not worse", with all of alpha. `harm`: the candidate's rate above stable's."""
    test = log_worse if worse else log_not_worse
    before, found = np.zeros(rollouts), np.zeros(rollouts, dtype=bool)
    for weight, rate in zip(STEPS, OVER_STEPS, strict=True):
        rates = traffic(random, rollouts, looks, weight, rate, rate + harm)
        arms = (
            Bernoulli(rates.n_stable, rates.hits_stable),
            Bernoulli(rates.n_candidate, rates.hits_candidate),
        )
        logs = test(*arms, margin)
        found |= (before[:, None] + logs >= math.log(20)).any(axis=1)
        before = before + logs[:, -1]
    return float(found.mean())


def latencies_called_slower(
    random: np.random.Generator,
    rollouts: int,
    looks: int,
    weight_percent: float,
    ratio: float,
    log_bound: float,
    factor: float = 1.0,
) -> Array:
    """Log-normal latencies (20 ms, sigma 0.5), a look every five seconds: who was ever called slower?"""
    ends = FIRST_MS * GROWTH ** np.arange(BINS)
    found = np.zeros(rollouts, dtype=bool)
    shares = [_shares(ends, 20.0), _shares(ends, 20.0 * factor)]
    live = np.nonzero((shares[0] > 1e-6) | (shares[1] > 1e-6))[0]
    low, high = live.min(), live.max() + 1
    sums = [np.zeros((rollouts, high - low)) for _ in shares]
    for _ in range(looks):
        ours = random.binomial(5 * PER_SECOND, weight_percent / 100, rollouts)
        for n, share, total in zip((5 * PER_SECOND - ours, ours), shares, sums, strict=True):
            np.add(total, random.multinomial(n, share[low:high] / share[low:high].sum()), out=total)
        found |= log_slower(sums[0], sums[1], 0.95, ratio) >= log_bound
    return found


def _shares(ends: Array, median_ms: float) -> Array:
    z = np.log(ends / median_ms) / 0.5 / math.sqrt(2)
    below = 0.5 * (1 + np.vectorize(math.erf)(z))
    return np.diff(np.concatenate([[0.0], below, [1.0]]))


def seconds_to_worse(
    random: np.random.Generator, rollouts: int, weight: float, stable: float, candidate: float, seconds: int
) -> Array:
    """The second at which the default guard rolls back; infinity where it does not. Its strictest metric of
    wrong answers is `validator_failures`."""
    rates = traffic(random, rollouts, seconds, weight, stable, candidate)
    found = ever_worse(rates, 0.02, DEFAULT_GUARD.log_worse_bound(len(STEPS) + 2))
    return np.where(found.any(axis=1), found.argmax(axis=1) + 1.0, math.inf)


def minutes_to_pass(
    random: np.random.Generator, rollouts: int, weight: float, rate: float, margin: float, minutes: int
) -> Array:
    """Minutes until an equal candidate is called "not worse" by one metric, looked at each minute."""
    n = 60 * PER_SECOND
    ours = random.binomial(n, weight / 100, (rollouts, minutes))
    hits, theirs = random.binomial(ours, rate), random.binomial(n - ours, rate)
    a, b, c, d = (np.cumsum(x, axis=1, dtype=float) for x in (n - ours, theirs, ours, hits))
    passed = log_not_worse(Bernoulli(a, b), Bernoulli(c, d), margin) >= DEFAULT_GUARD.log_pass_bound
    return np.where(passed.any(axis=1), passed.argmax(axis=1) + 1.0, math.inf)


def share_passed_though_worse(
    random: np.random.Generator, rollouts: int, minutes: int, weight: float, rate: float, margin: float
) -> float:
    """A candidate that is worse by just the margin: how often is it ever called "not worse"?"""
    n = 60 * PER_SECOND
    ours = random.binomial(n, weight / 100, (rollouts, minutes))
    hits, theirs = random.binomial(ours, rate + margin), random.binomial(n - ours, rate)
    a, b, c, d = (np.cumsum(x, axis=1, dtype=float) for x in (n - ours, theirs, ours, hits))
    passed = log_not_worse(Bernoulli(a, b), Bernoulli(c, d), margin) >= DEFAULT_GUARD.log_pass_bound
    return float(passed.any(axis=1).mean())


def share_mismatched(
    random: np.random.Generator, rollouts: int, looks: int, meant: float, real: float
) -> float:
    """How often the split is called off, at alpha 0.001, with a look after every 50 new keys."""
    ours = np.cumsum(random.binomial(PER_SECOND, real, (rollouts, looks)), axis=1)
    alarms = 0
    for row in ours:
        keys = PER_SECOND * np.arange(1, looks + 1)
        logs = (log_mismatch(int(n - k), int(k), meant) for n, k in zip(keys, row, strict=True))
        alarms += any(log >= math.log(1000) for log in logs)
    return alarms / rollouts


def clustered(random: np.random.Generator, rollouts: int, seconds: int, weight: float) -> float:
    """A/A where one subject in fifty always fails and all send alike: the share called worse at margin 0.01.

    What a test of requests does not know: requests of one subject fail together.
    """
    subjects = 1000
    member = random.random((rollouts, subjects)) < weight / 100
    fails = random.random((rollouts, subjects)) < 0.02
    share = member.mean(axis=1)[:, None]
    of_candidate = ((member & fails).sum(axis=1) / np.maximum(member.sum(axis=1), 1))[:, None]
    of_stable = ((~member & fails).sum(axis=1) / np.maximum((~member).sum(axis=1), 1))[:, None]
    shape = (rollouts, seconds)
    ours = random.binomial(PER_SECOND, np.broadcast_to(share, shape))
    hits = random.binomial(ours, np.broadcast_to(of_candidate, shape))
    theirs = random.binomial(PER_SECOND - ours, np.broadcast_to(of_stable, shape))
    sums = (np.cumsum(a, axis=1, dtype=float) for a in (PER_SECOND - ours, theirs, ours, hits))
    return float(ever_worse(Rates(*sums), 0.01, math.log(20)).any(axis=1).mean())


def rows(seed: int, rollouts: int, seconds: int) -> Iterator[tuple[str, str, str]]:
    """What was simulated, what came out, what is asked."""
    random = np.random.default_rng(seed)
    drift = 0.02 + 0.02 * np.sin(np.arange(seconds) / 40)
    at_most, none = "at most 5 %", ""

    def percent(share: float) -> str:
        return f"{100 * share:.1f} %"

    share = share_rolled_back(random, rollouts, seconds)
    yield "A/A, whole rollout, default guard: ever rolled back", percent(share), at_most
    for rate in (0.001, 0.02, 0.3):
        for weight in (5, 50):
            share = share_ever_worse(random, rollouts, seconds, weight, rate, rate, 0.0)
            yield (
                f"A/A, rate {rate:g}, {weight} %, margin 0, all of alpha: ever worse",
                percent(share),
                at_most,
            )
    share = share_ever_worse(random, rollouts, seconds, 5, 0.02, 0.03, 0.01)
    yield "worse by just the margin (2 % and 3 %), 5 %: ever worse", percent(share), at_most
    share = share_ever_worse(random, rollouts, seconds, 5, drift, drift, 0.0)
    yield "A/A, rate moves between 0 and 4 %, margin 0: ever worse", percent(share), at_most
    slow = latencies_called_slower(random, rollouts // 4, 40, 50, 1.0, math.log(20))
    yield "A/A, p95 latency, ratio 1, all of alpha: ever slower", percent(slow.mean()), at_most
    slow = latencies_called_slower(random, rollouts // 10, 36, 25, 1.2, math.log(20), 1.5)
    yield "p95 latency 1.5 times, ratio 1.2, 25 %: slower within 3 minutes", percent(slow.mean()), none
    share = share_passed_though_worse(random, rollouts, 60, 25, 0.02, 0.01)
    yield "worse by just the margin, 25 %, an hour: ever passed", percent(share), at_most
    share = share_over_steps(random, rollouts // 2, 40, 0.0, 0.0, worse=True)
    yield (
        "A/A, reviews of three steps multiplied, margin 0, all of alpha: ever worse",
        percent(share),
        at_most,
    )
    share = share_over_steps(random, rollouts // 2, 40, 0.05, 0.05, worse=False)
    yield "worse by just the margin (5 points), reviews of three steps: ever passed", percent(share), at_most
    times = seconds_to_worse(random, rollouts, 5, 0.02, 0.20, 60)
    yield (
        "20 % wrong against 2 %, at 5 % of 50/s: rolled back within 60 s",
        percent((times <= 60).mean()),
        none,
    )
    for q, name in ((50, "median"), (95, "95 of 100")):
        yield f"same: seconds until then, {name}", f"{np.percentile(times, q, method='higher'):.0f} s", "60 s"
    for weight in STEPS:
        wait = minutes_to_pass(random, 200, weight, 0.01, 0.01, 90)
        yield (
            f"equal, rate 1 %, margin 1 point, {weight} %: minutes until passed, median",
            f"{np.median(wait):.0f}",
            none,
        )
    yield (
        "split as meant (5 %): ever called off, alpha 0.001",
        percent(share_mismatched(random, rollouts // 5, 200, 0.05, 0.05)),
        "at most 0.1 %",
    )
    yield (
        "split 7 % where 5 % was meant: called off within 10,000 keys",
        percent(share_mismatched(random, rollouts // 5, 200, 0.05, 0.07)),
        none,
    )
    yield (
        "A/A, 1,000 subjects of whom 2 % always fail, 5 %, margin 1 point: ever worse",
        percent(clustered(random, rollouts, seconds, 5)),
        "see below",
    )


def main() -> int:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.rollout_statistics")
    parser.add_argument("--rollouts", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=200, help="of each step")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    sys.stdout.write("| simulated | found | asked |\n|---|---|---|\n")
    for row in rows(asked.seed, asked.rollouts, asked.seconds):
        sys.stdout.write("| " + " | ".join(row) + " |\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
