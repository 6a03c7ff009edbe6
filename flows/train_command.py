"""`switchyard train`: runs the training flow, shows its progress on stderr and its outcome on stdout."""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from feature_checks.datasets import Which, choose_data, default_cache_dir
from feature_checks.usecase import UseCase, load_usecase
from flows.progress import StepEvent, listening
from flows.surroundings import prefect_api, require_mlflow
from registry.settings import RegistrySettings

STEPS = 10
_OUTCOMES = {"reused": "unchanged", "failed": "FAILED", "stopped": "stopped"}


def run(
    name: str, data: Literal["auto", "sample", "full"], as_json: bool, go_on: bool, hold: bool = False
) -> None:
    """Train use case `name`. Raises `CheckFailed`, and the errors of the steps; Ctrl-C ends it with 130."""
    try:
        _run(name, data, as_json, go_on, hold)
    except KeyboardInterrupt:
        more = f"`switchyard train {name} --reuse` goes on after the last step that was finished"
        sys.stderr.write(f"switchyard: stopped; {more}\n")
        raise SystemExit(128 + signal.SIGINT) from None


def _run(
    name: str, data: Literal["auto", "sample", "full"], as_json: bool, go_on: bool, hold: bool = False
) -> None:
    usecase = load_usecase(name)
    say = Console(stderr=True, highlight=False)
    settings = RegistrySettings()
    require_mlflow(settings)
    which = _choose(usecase, data, say)
    own_server = not os.environ.get("PREFECT_API_URL")
    if own_server:
        say.print("Starting Prefect for this run (the very first time takes up to a minute) ...")
        # Unasked, a termination would leave that server behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with prefect_api(settings.home) as wait_ready, listening(StepLines(say)):
        from flows.training import training  # brings Prefect, which reads its settings on import

        if own_server and not go_on:
            import_module("great_expectations")  # seconds that a server which is starting takes as well
        wait_ready()
        started = time.monotonic()
        outcome = training(name, which, go_on=go_on, hold=hold)
    outcome["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        sys.stdout.write(json.dumps(outcome, indent=2) + "\n")
        return
    _show(outcome, usecase, Console(highlight=False))
    if own_server:
        sys.stdout.write("The run's plots and tables: `switchyard up`, then open the Prefect UI.\n")


def _choose(usecase: UseCase, data: Literal["auto", "sample", "full"], say: Console) -> Which:
    if data != "auto":
        return data
    which, reason = choose_data(usecase, default_cache_dir())
    say.print(f"Data: {reason}", soft_wrap=True)
    return which


class StepLines:
    """One line a step: its place, name, outcome and seconds; overwritten in place on a terminal."""

    def __init__(self, say: Console) -> None:
        self._say = say
        self._at = 0

    def __call__(self, event: StepEvent) -> None:
        if event.what in ("started", "reused"):
            self._at += 1
        line = f"[{self._at}/{STEPS}] {event.step:<10} ".replace("[", r"\[")
        if event.what == "started":
            if self._say.is_terminal:
                self._say.print(f"{line}...", end="\r")
            return
        outcome = _OUTCOMES.get(event.what) or f"{event.seconds:6.1f} s"
        self._say.print(f"{line}{outcome}")


def _show(outcome: Mapping[str, Any], usecase: UseCase, console: Console) -> None:
    metrics, registered = outcome["metrics"], outcome["registered"]
    table = Table(
        title=f"{outcome['usecase']}: trained on the {outcome['data']} data in {outcome['seconds']:.0f} s"
    )
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("meaning")
    for row in _rows(metrics, usecase):
        table.add_row(*row)
    console.print(table)
    said = f"{registered['name']} version {registered['version']}"
    if registered["champion"]:
        console.print(
            f"{said} is champion, signed, verified and placed: {registered['reason']}.", soft_wrap=True
        )
        console.print("Next: bentoml serve services.orchestrator:Orchestrator --port 3000", soft_wrap=True)
    else:
        console.print(f"{said} is registered and not champion: {registered['reason']}.", soft_wrap=True)
        console.print("Next: switchyard registry list")


def _rows(metrics: Mapping[str, Any], usecase: UseCase) -> list[tuple[str, str, str]]:
    risk = usecase.local.risk if usecase.local else None
    promise = f"promised: at most {risk.max_error:.1%} with {risk.confidence:.0%} confidence" if risk else ""
    rule = f"confidence {metrics['threshold']:.3f} or more"
    if risk and risk.by_label:
        rule = "from each label's own threshold on"
        bounds = ", ".join(f"{label} {own.max_error:.1%}" for label, own in risk.by_label.items())
        promise = f"promised, with {risk.confidence:.0%} confidence, at most: {bounds}"
    elif metrics["threshold"] > 1:
        rule = "nothing: too few or too uncertain rows to keep the promise"
    return [
        (
            "accuracy",
            f"{metrics['accuracy']:.2%}",
            f"of {metrics['test_rows']:,} test rows, were all answered",
        ),
        ("macro F1", f"{metrics['macro_f1']:.2%}", "mean over labels"),
        ("answered locally", f"{metrics['local_coverage']:.1%}", rule),
        ("wrong among those", f"{metrics['local_error']:.1%}", promise),
        (
            "let in by mistake",
            f"{metrics['outside_accept_share']:.1%}",
            f"of {metrics['outside_rows']:,} rows that no label fits",
        ),
    ]
