"""`python -m bench.alias`: how soon a promotion reaches every worker under load, and whether a request fails.

Two workers of `bentoml serve` with default settings, steady callers on connections of their own. Each move is
signed into the log, made in MLflow (SQLite) and placed; timed from then to the last answer by the old
version. Prints JSON.
"""

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench.promotions import Versions, asking, calling, moves
from feature_checks.datasets import load_labelled
from feature_checks.usecase import load_usecase

LABELS = 8
WITHIN_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.alias", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--usecase", default="support")
    parser.add_argument("--moves", type=int, default=8)
    parser.add_argument("--callers", type=int, default=4)
    asked = parser.parse_args()
    for name in ("httpx", "alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    usecase = load_usecase(asked.usecase)
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        scratch = Path(folder)
        home = scratch / "home"
        versions = Versions(home, usecase, scratch / "models", 0.0, LABELS)
        row = load_labelled(usecase, "sample", scratch / "data").train.to_dict("records")[0]
        with (
            asking(home) as client,
            calling(client, usecase.name, row["text"], asked.callers, 0.05) as callers,
        ):
            reached = moves(versions, callers, asked.moves, 2 * WITHIN_S)
    found = {
        "moves": asked.moves, "requests": len(callers.seen), "failed": len(callers.failed),
        "median_s": round(statistics.median(reached), 2), "worst_s": round(max(reached), 2),
        "at_most_s": WITHIN_S, "load": os.getloadavg()[0],
    }  # fmt: skip
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
