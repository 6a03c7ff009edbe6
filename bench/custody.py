"""`python -m bench.custody`: how long it takes to verify and load the champion, and to ask the gate.

Needs a trained use case (`switchyard train support --data full`) in SWITCHYARD_HOME and ./build. Each load is
in a process of its own, timed without starting Python and importing libraries; the gate is the whole command,
as a person waits for it, and judges what was registered last (`python -m bench.candidates` registers one).
`cpu_s` is what it costs the processor: on a busy machine the wait is longer, and this is not. Prints JSON.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from feature_checks.usecase import load_usecase
from registry.loading import placed_ref
from registry.placing import placed_folder
from registry.settings import RegistrySettings

LOAD = """
import sys, time
import model_signing, onnxruntime, tokenizers
from registry.loading import load_placed
from registry.settings import RegistrySettings
began = time.perf_counter()
load_placed(sys.argv[1], "champion", RegistrySettings())
print(time.perf_counter() - began)
"""
LOAD_WITHIN_S, GATE_WITHIN_S = 1.0, 5.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.custody", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--usecase", default="support")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    usecase = load_usecase(asked.usecase)
    if usecase.local is None:
        raise SystemExit(f"use case '{usecase.name}' has no local model")
    settings = RegistrySettings()
    ref = placed_ref(usecase.local.model, "champion", settings)
    files = [path for path in placed_folder(ref, settings).rglob("*") if path.is_file()]
    loads, gates, costs, said = [], [], [], {}
    for _ in range(asked.rounds):
        loads.append(float(_run("-c", LOAD, ref.name)))
        began, spent = time.perf_counter(), _children_cpu_s()
        said = json.loads(_run("-m", "switchyard", "registry", "gate", usecase.name, "--json"))
        gates.append(time.perf_counter() - began)
        costs.append(_children_cpu_s() - spent)
    found = {
        "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 1),
        "verify_and_load_s": {"median": round(statistics.median(loads), 3), "worst": round(max(loads), 3),
                              "at_most": LOAD_WITHIN_S},
        "gate_s": {"median": round(statistics.median(gates), 2), "worst": round(max(gates), 2),
                   "cpu_s": round(statistics.median(costs), 2), "at_most": GATE_WITHIN_S,
                   "judged": f"version {said['version']} against version {said['champion']['version']}",
                   "said": said["gates"][-1]["said"]},
        "rounds": asked.rounds, "load": os.getloadavg()[0],
    }  # fmt: skip
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(done.stderr[-500:])
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
