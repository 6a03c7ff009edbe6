"""`switchyard monitor`: runs the monitoring flow and says what it found."""

import json
import os
import re
import signal
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from feature_checks.usecase import load_usecase
from flows.errors import StepError
from flows.surroundings import prefect_api
from registry.settings import RegistrySettings

_UNITS = {"m": 1 / 60, "h": 1.0, "d": 24.0}


def run(name: str, since: str | None, window: int | None, as_json: bool) -> None:
    """Monitor use case `name`. Raises `DriftInputError`, and what the flow raises."""
    load_usecase(name)  # before anything is started
    hours = None if since is None else hours_of(since)
    say = Console(stderr=True, highlight=False)
    own_server = not os.environ.get("PREFECT_API_URL")
    if own_server:
        say.print("Starting Prefect for this run (the very first time takes up to a minute) ...")
        # Unasked, a termination would leave that server behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with prefect_api(RegistrySettings().home) as wait_ready:
        from flows.monitoring import monitoring  # brings Prefect, which reads its settings on import

        wait_ready()
        found = monitoring(name, window, hours)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        show(found, Console(highlight=False))


def hours_of(since: str) -> float:
    """`90m`, `24h` or `7d` in hours. Raises `StepError`."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", since)
    if found is None:
        raise StepError("--since: expected a number and m, h or d, such as 90m, 24h or 7d")
    return int(found[1]) * _UNITS[found[2]]


def show(found: Mapping[str, Any], console: Console) -> None:
    """The verdict for people: what moved first."""
    seen = found["window"]
    table = Table(title=f"{found['usecase']}: {seen['looked_at']:,} of {seen['decisions']:,} decisions")
    for column, justify in (("feature", "left"), ("measure", "left"), ("size", "right"), ("bound", "right"),
                            ("p, corrected", "right"), ("", "left"), ("examples", "left")):  # fmt: skip
        table.add_column(column, justify=justify)  # type: ignore[arg-type]  # rich's literal
    for one in found["features"]:
        table.add_row(
            one["feature"],
            one["measure"],
            f"{one['size']:.3f}",
            f"{one['bound']:g}",
            f"{one['adjusted']:.2g}",
            "DRIFTED" if one["drifted"] else "",
            "\n".join(one["examples"]),
        )
    console.print(table)
    for name, why in found["unmeasured"].items():
        console.print(f"not measured: {name}: {why}", soft_wrap=True)
    routes = found["operations"]
    console.print(f"cloud share {routes['cloud_share']:.1%}, fallback rate {routes['fallback_rate']:.1%}")
    console.print(f"{'DRIFT' if found['drifted'] else 'no drift'}: {found['reason']}", soft_wrap=True)
    if (alarm := found["alarm"]) is not None:
        refused = "; ".join(alarm["refused"])
        does = f"starts nothing: {refused}" if refused else "starts a retraining, if `switchyard up` runs"
        console.print(f"alarm {alarm['id']} {does}", soft_wrap=True)
