"""`python -m bench.monitor [--records N]`: time and memory of `monitor` over a long journal.

Judged is a random sample of all records, read in columns. Prefect and reviews are left out. The model is that
of the state folder (`switchyard train` first).
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.made_journal import write_journal
from feature_checks.datasets import default_cache_dir, load_labelled
from feature_checks.usecase import load_usecase


def main() -> int:
    """Write the journal, then measure in a process of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.monitor", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--usecase", default="support")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--over", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.over:
        return _measure(asked.usecase, asked.over)
    usecase = load_usecase(asked.usecase)
    rows = load_labelled(usecase, "sample", default_cache_dir()).test[list(usecase.input)].to_dict("records")
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        journal = Path(folder) / "journal"
        size = write_journal(journal, usecase, rows, asked.records)
        sys.stderr.write(f"{asked.records:,} records, {size / 1e9:.2f} GB\n")
        command = [sys.executable, "-m", "bench.monitor", "--usecase", asked.usecase, "--over", str(journal)]
        return subprocess.run(command, check=False).returncode


def _measure(name: str, journal: Path) -> int:
    from feature_checks.journal_columns import decision_blocks
    from feature_checks.journal_window import since
    from flows.embedding import open_embedder
    from flows.judging import judge
    from flows.monitoring import reference_of
    from registry.placing import CHAMPION, placed_package, placed_ref
    from registry.runtimes import open_predictor
    from registry.settings import RegistrySettings

    usecase, settings = load_usecase(name), RegistrySettings()
    if usecase.local is None:
        raise SystemExit(f"use case '{name}' has no local model")
    started = time.monotonic()
    package = placed_package(placed_ref(usecase.local.model, CHAMPION, settings), settings)
    window = since(decision_blocks(journal, usecase), "2000-01-01")
    read_s = time.monotonic() - started
    rule = package.manifest.acceptance
    found = judge(usecase, reference_of(package), open_predictor(package), rule, window, open_embedder(), "-")
    seconds = time.monotonic() - started
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said = {"records": window.scanned, "judged": len(window.rows), "read_s": round(read_s, 1),
            "seconds": round(seconds, 1), "cpu_s": round(time.process_time(), 1), "peak_mib": round(peak_mib),
            "drifted": found.verdict.drifted}  # fmt: skip
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
