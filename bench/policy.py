"""What a verdict of the access policy costs. `python -m bench.policy` prints JSON."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from feature_checks.usecase import load_usecase
from services.policy import AccessPolicy, PolicyQuestion

MAX_US = {"cached": 20.0, "fresh": 500.0, "fresh_target": 500.0}


def median_us(ask: Callable[[], object], rounds: int) -> float:
    """Microseconds of one call, the median."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        ask()
        times.append(time.perf_counter() - start)
    return round(sorted(times)[rounds // 2] * 1e6, 2)


def measure() -> dict[str, float]:
    """Median microseconds: asked before, never asked, and never asked about a target never seen."""
    policy = AccessPolicy.load(load_usecase("support"))
    question = PolicyQuestion(
        tenant="acme",
        tags=frozenset({"user_content", "pii", "pii_card"}),
        target="cloud/primary",
        residency="eu",
        region="us",
    )
    number = count()
    return {
        "cached": median_us(lambda: policy.verdict(question), 20_000),
        "fresh": median_us(lambda: policy.verdict(replace(question, residency=f"r{next(number)}")), 2_000),
        "fresh_target": median_us(
            lambda: policy.verdict(replace(question, region=f"r{next(number)}")), 2_000
        ),
    }


def main() -> int:
    result = measure()
    problems = [f"{name}: {result[name]} us > {most}" for name, most in MAX_US.items() if result[name] > most]
    sys.stdout.write(
        json.dumps({"verdict_us": result, "bounds_us": MAX_US, "broken": problems}, indent=1) + "\n"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
