"""`python -m bench [request] [cloud] [growth] [--json]`: speed, side by side in one run on this machine.

A table of figures with what is asked of them, and all raw numbers in `bench-results/`.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from bench.cloud import measure_cloud
from bench.growth import measure_growth
from bench.request import measure_request
from bench.results import save, table
from bench.sample_model import place_sample_model
from feature_checks.usecase import UseCase, load_usecase
from registry.errors import RegistryError
from registry.loading import load_placed
from registry.settings import RegistrySettings

PARTS = ("request", "cloud", "growth")


def main() -> int:
    """Run it; returns the exit code, which says nothing of the bounds: a busy machine may miss them."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which; all by default")
    parser.add_argument("--usecase", default="support")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    for name in ("httpx", "httpx2", "alembic", "services"):
        logging.getLogger(name).setLevel(logging.WARNING)
    usecase = load_usecase(asked.usecase)
    parts = asked.parts or PARTS
    found = []
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        scratch = Path(folder)
        if "request" in parts:
            settings = _settings(usecase, scratch)
            found.append(
                asyncio.run(measure_request(usecase, settings, scratch, asked.rounds, asked.seconds))
            )
        if "cloud" in parts:
            found.append(asyncio.run(measure_cloud(usecase, scratch, asked.rounds, 2 * asked.seconds)))
        if "growth" in parts:
            found.append(asyncio.run(measure_growth(usecase, scratch, asked.rounds)))
    file = save(found)
    if asked.json:
        sys.stdout.write(json.dumps([asdict(one) for one in found]) + "\n")
    else:
        load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
        sys.stdout.write(f"{table(found)}\nload of this machine (1, 5, 15 minutes): {load}\nraw: {file}\n")
    return 0


def _settings(usecase: UseCase, scratch: Path) -> RegistrySettings:
    """The home to serve from: with the placed champion, or a model of the sample where there is none."""
    if usecase.local is None:
        raise SystemExit(f"use case '{usecase.name}' has no local model")
    settings = RegistrySettings()
    try:
        if load_placed(usecase.local.model, "champion", settings).acceptance.threshold <= 1:
            return settings
        why = "the champion may answer nothing by itself"
    except RegistryError as error:
        why = str(error).split(";")[0]
    sys.stderr.write(f"{why}: measuring with a model of the sample that accepts every message\n")
    settings = RegistrySettings(home=scratch / "home")
    place_sample_model(settings.home, usecase, scratch / "model", threshold=0.0)
    return settings


if __name__ == "__main__":
    sys.exit(main())
