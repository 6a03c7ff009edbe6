"""`python -m bench.what_if --plot FILE.svg`: the frontier of `evaluate --what-if`, beside what is true.

The placed champion (`switchyard train` first) answers test rows; a reviewed random sample of them is what the
log would hold. The cloud model is made: right by lot as often as `--cloud-right`, at `--usd` an answer. So
the truth at every threshold is known, and it is printed how often the interval holds it where everything was
seen.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from feature_checks.datasets import default_cache_dir, load_labelled
from feature_checks.usecase import load_usecase
from flows.steps.rows import inputs
from registry.loading import load_placed
from registry.placing import CHAMPION
from registry.runtimes import judged
from registry.settings import RegistrySettings
from services.what_if import Logged, frontier
from services.what_if_report import draw

RATE, SEED = 0.05, 7


def main() -> int:
    """One JSON document; the picture with `--plot`."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.what_if", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--usecase", default="support")
    parser.add_argument("--data", choices=["sample", "full"], default="full")
    parser.add_argument("--reviewed", type=int, default=400)
    parser.add_argument(
        "--threshold", type=float, help="in force while it was logged; default: the champion's"
    )
    parser.add_argument("--cloud-right", type=float, default=0.9)
    parser.add_argument("--usd", type=float, default=0.0004)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    usecase = load_usecase(asked.usecase)
    if usecase.local is None:
        raise SystemExit(f"use case '{usecase.name}' has no local model")
    loaded = load_placed(usecase.local.model, CHAMPION, RegistrySettings())
    rows = load_labelled(usecase, asked.data, default_cache_dir()).test
    probabilities, confidences = judged(loaded.predictor, inputs(rows, usecase))
    said = np.asarray(loaded.labels, object)[probabilities.argmax(axis=1)]
    local = said == rows[usecase.label].to_numpy(object)
    draws = np.random.default_rng(SEED)
    cloud = draws.random(len(rows)) < asked.cloud_right
    threshold = loaded.acceptance.threshold if asked.threshold is None else asked.threshold
    taken = confidences >= threshold
    chosen = draws.choice(len(rows), min(asked.reviewed, len(rows)), replace=False)
    logged = [
        Logged(
            RATE,
            float(confidences[at]),
            bool(local[at]),
            bool(local[at] if taken[at] else cloud[at]),
            bool(taken[at]),
            0.0 if taken[at] else asked.usd,
        )
        for at in chosen.tolist()
    ]
    points = frontier(logged)
    truth = [float(np.where(confidences >= p.threshold, local, cloud).mean()) for p in points]
    seen = [(p, true) for p, true in zip(points, truth, strict=True) if p.assumed == 0]
    told = {
        "reviewed": len(logged),
        "threshold": threshold,
        "points": len(points),
        "all_seen": len(seen),
        "interval_holds_truth": sum(p.correct.low <= true <= p.correct.high for p, true in seen),
        "bounds_hold_truth": sum(
            min(p.worst, p.correct.low) <= true <= max(p.best, p.correct.high)
            for p, true in zip(points, truth, strict=True)
        ),
    }
    if asked.plot:
        draw(points, usecase.name, asked.plot)
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
