"""`python -m bench.deferral`: plain confidence and learned deferral side by side, one training a seed. Real
data.

Both thresholds keep the use case's `max_error` by the same bound, calibrated on out-of-fold answers to
training rows; the published test rows and the sample's messages that no label fits are looked at as they are
served. `--plot FILE.svg` keeps the first seed's curves of both.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feature_checks.usecase import load_usecase
from flows.params import read_params
from flows.steps.check import check
from flows.steps.defer import defer
from flows.steps.evaluate import evaluate
from flows.steps.fetch import fetch
from flows.steps.fit import fit
from flows.steps.prepare import prepare


def main() -> int:
    """Run it; one line a seed and rule."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.deferral", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--usecase", default="support")
    parser.add_argument("--data", choices=["sample", "full"], default="full")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    usecase = load_usecase(asked.usecase)
    if usecase.local is None or usecase.local.deferral != "learned":
        raise SystemExit(f"{usecase.name}/usecase.yaml: local.deferral: expected `learned`")
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        build = Path(folder)
        fetch(build, usecase, asked.data)
        check(build, usecase)
        prepare(build, usecase)
        for number, seed in enumerate(asked.seeds):
            fit(build, usecase, read_params().of_kind(usecase.local.kind), seed)
            evaluate(build, usecase)
            found = defer(build, usecase)
            if asked.plot and number == 0:
                asked.plot.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(build / "deferral" / "curves.svg", asked.plot)
            said = json.dumps(found) + "\n" if asked.json else "".join(_lines(found))
            sys.stdout.write(said)
            sys.stdout.flush()
    return 0


def _lines(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for rule in ("plain", "learned"):
        held, test, outside = (found[rule][part] for part in ("out_of_fold", "test", "outside"))
        lines.append(
            f"| {found['seed']} | {rule} | {held['coverage']:.1%} | {held['auroc_right']:.3f} "
            f"| {test['coverage']:.1%} | {test['error']:.2%} | {test['auroc_right']:.3f} "
            f"| {outside['auroc']:.3f} | {outside['accepted']:.1%} |\n"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
