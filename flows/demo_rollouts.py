"""Chapter `rollouts` of the demo: a bad configuration is caught in canary, a good one is promoted.

In a state folder of its own, with a server of two workers, the real controller, and callers who say of every
answer whether it was right. What is bad about the bad one is told before it starts: no check can see it.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from rich.console import Console

from flows import processes
from flows.demo_callers import Callers
from flows.demo_candidates import exchanged, own_home, polite
from flows.demo_report import callers_table
from flows.demo_stage import Stage, run_json, step
from flows.demo_traffic import choose, receipt_claims
from flows.errors import ProcessError
from registry.rollout import Record, Rollout, State
from registry.rollout_store import Rollouts

STEPS = "20,50,100"
GUARD = """\
metrics:
  - {kind: rate, name: errors, margin: 0.03}
  - {kind: rate, name: fallbacks, margin: 0.03}
  - {kind: latency, name: latency, ratio: 3.0}
  - {kind: rate, name: wrong, margin: 0.05, required: false, required_beyond_percent: 0, min_samples: 50}
min_samples: 50
novelty_s: 2
"""
"""Wider margins, shorter first seconds than the usual guard's, and each step waits for what callers say."""

MESSAGES = 200
ENOUGH = 30
PATIENCE_S = 150.0
POLL_S = 0.3


@dataclass(frozen=True, slots=True)
class _Rig:
    """What runs in this chapter. `env` is for commands about its state folder."""

    home: Path
    env: dict[str, str]
    url: str
    callers: Callers


def tell(stage: Stage) -> None:
    """Roll out two changes of the approved texts; every number comes from what the workers counted."""
    console, usecase = stage.console, stage.usecase
    if not any(spec.template for spec in usecase.output.values()):
        console.print(
            f"[dim]{usecase.name} has no approved texts, so this chapter has nothing to change.[/dim]"
        )
        return
    with TemporaryDirectory(prefix="switchyard-demo-") as scratch, _running(stage, Path(scratch)) as rig:
        if rig is None:
            return
        bad, changed = exchanged(usecase, Path(scratch) / "exchanged")
        console.print(
            f"\nA bad configuration: the approved texts of {changed} of {len(usecase.labels)} labels are "
            "exchanged with each other, as by a\ntable that was sorted in one column only. Each text is "
            "approved and each label is right: no check can see it, only callers."
        )
        _roll_out(stage, rig, bad, "canary", "texts come from the new table")
        good = polite(usecase, Path(scratch) / "polite")
        console.print(
            "\nA good configuration: a closing sentence in every approved text. Shadow first, then canary."
        )
        _roll_out(stage, rig, good, "full", "a closing sentence")
        console.print()
        console.print(callers_table(rig.callers.seen()))
        _last_words(console, rig)


@contextmanager
def _running(stage: Stage, scratch: Path) -> Iterator[_Rig | None]:
    """Server, controller and callers, in a copy of what the demo trained; None: they have nothing to do."""
    console = stage.console
    home = own_home(stage.home, scratch)
    env = stage.command_env | {
        "SWITCHYARD_HOME": str(home), "SWITCHYARD_DATABASE_URL": "", "SWITCHYARD_REDIS_URL": "",
        "SWITCHYARD_ROLLOUT_POLL_S": "0.5", "SWITCHYARD_WORKERS": "2", "SWITCHYARD_ENDPOINTS": "{}",
        "SWITCHYARD_FEEDBACK_PER_HOUR_PER_KEY": "1000000",  # one key speaks for all callers here
    }  # fmt: skip
    port = processes.free_port(0)
    url = f"http://127.0.0.1:{port}"
    messages = choose(stage.usecase, stage.trained["data"], stage.home / "data", MESSAGES, 0)
    with ExitStack() as stack:
        with step(console, "Start two workers and the rollout controller in a state folder of their own"):
            key = run_json("keys", "create", "--tenant", "demo", "--role", "caller", "--json", env=env)["key"]
            controller = processes.rollout_controller(home, stage.at.prefect, every_s=1.0)
            controller.env = {**controller.env, **env}
            server = stack.enter_context(processes.orchestrator(home, port, env))
            stack.enter_context(controller)
            server.wait_ready()
            callers = Callers(url, key, stage.usecase)
            answered = callers.answered_here(messages)
        if len(answered) < ENOUGH:
            console.print(
                f"[dim]The model of the {stage.trained['data']} data may answer {len(answered)} of "
                f"{len(messages)} messages by itself: too few to tell two configurations apart. "
                "The full data shows this chapter.[/dim]"
            )
            yield None
            return
        stack.enter_context(callers.asking(answered))
        yield _Rig(home, env, url, callers)


def _roll_out(stage: Stage, rig: _Rig, folder: Path, mode: str, reason: str) -> None:
    """Start it by the command that a team uses, and say each move until its end."""
    guard = rig.home / "guard.yaml"
    guard.write_text(GUARD)
    component = f"{stage.usecase.name}/config"
    begun = run_json(
        "rollout", "start", component, "--candidate-folder", str(folder), "--guard", str(guard),
        "--steps", STEPS, "--mode", mode, "--reason", reason, "--json", env=rig.env,
    )  # fmt: skip
    started = time.monotonic()
    command = f"switchyard rollout start {component} --candidate-folder {folder.name} --mode {mode}"
    stage.console.print(
        f"  $ {command} --steps {STEPS}\n        {begun['stable']} -> {begun['candidate']}, "
        "signed; each worker verifies it before it answers",
        soft_wrap=True,
    )
    with Rollouts(rig.home / "rollouts.db") as kept:
        told = 1
        while True:
            rollout, records = kept.latest(component), kept.records(begun["id"])
            for record in records[told:]:
                stage.console.print(_line(record, time.monotonic() - started), soft_wrap=True)
            told = len(records)
            if rollout.ended:
                rig.callers.name(rollout.candidate, f"{reason!r}: {rollout.state.value.replace('_', ' ')}")
                return
            if rollout.state is State.PAUSED or time.monotonic() - started > PATIENCE_S:
                _give_up(stage.console, rig, rollout)
                return
            time.sleep(POLL_S)


def _line(record: Record, after_s: float) -> str:
    where = f"{record.after.replace('_', ' ')}, {record.weight_percent:g} %"
    return f"  {after_s:4.0f} s  [bold]{where:<18}[/bold] {record.reason}"


def _give_up(console: Console, rig: _Rig, rollout: Rollout) -> None:
    """A slow machine sees too little traffic in time; then this is said, and nothing made up."""
    run_json(
        "rollout", "abort", rollout.component, "--reason", "the demo waits no longer", "--json", env=rig.env
    )
    console.print(
        f"  [yellow]undecided after {PATIENCE_S:.0f} s on this machine: too little traffic[/yellow]; aborted"
    )
    rig.callers.name(rollout.candidate, "undecided, aborted")


def _last_words(console: Console, rig: _Rig) -> None:
    last = rig.callers.last
    if last is not None and (named := receipt_claims(last["receipt"]).get("rollouts")):
        one = named[0]
        side = f"{one['component']} {one['variant']} {one['version']}"
        console.print(f"The receipt of the last answer names its side: {side}")
    try:
        ready = httpx.get(f"{rig.url}/readyz", timeout=5).json()
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        raise ProcessError("the orchestrator of this chapter does not answer /readyz any more") from error
    for warning in ready.get("warnings", ()):
        console.print(f"/readyz: {warning}", soft_wrap=True)
