"""Chapter `loop` of the demo: traffic shifts, an alarm, Prefect retrains, the candidate comes into shadow.

On a small use case made for it from the demo's own (`demo_loop_folder.py`), in a state folder of its own, so
that it takes minutes and no alarm of yours is touched. Nothing is played: real requests, reviews, event,
automation, run, signature and registration.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.table import Table

from feature_checks.usecase import load_usecase
from flows import processes
from flows.demo_loop_folder import SmallCase, make_small
from flows.demo_stage import Stage, run_json, step
from flows.errors import ProcessError

PATIENCE_S = 240.0
TIMEOUT_S = 30.0


def tell(stage: Stage) -> None:
    """Train without some labels, let their messages come, have them reviewed, and watch what follows."""
    say = stage.console.print
    place = (stage.home / "demo-loop").resolve()
    shutil.rmtree(place, ignore_errors=True)  # of an earlier demo
    small = make_small(stage.usecase, place)
    if small is None:
        say(
            f"· {stage.usecase.name} has no texts with labels to leave out: this chapter has nothing to show."
        )
        return
    say(
        f"\n[bold]The loop[/bold], on a small use case made of {stage.usecase.name}: "
        f"{len(small.known_labels)} labels, {small.trained_on} rows, bounds that so few can keep, "
        f"no cloud model; its state is in {place}",
        soft_wrap=True,
    )
    commands = _Commands(stage, place)
    with step(stage.console, f"Train {small.name} without {', '.join(small.new_labels)}"):
        commands("train", small.name, "--data", "sample", "--json")
    with _served(stage, small, commands) as caller:
        with step(stage.console, f"{len(small.usual)} usual messages; then switchyard monitor"):
            truth = caller.decide(small.usual)
            quiet = commands("monitor", small.name, "--window", str(len(small.usual)), "--json")
        say(f"  {_verdict(quiet)}", soft_wrap=True)
        with step(
            stage.console, f"{len(small.shifted)} messages that it was not trained for; reviewers label them"
        ):
            reviewed = caller.review({**truth, **caller.decide(small.shifted)})
        say(f"  {reviewed} reviewed: those of which the model was not sure enough, usual ones among them")
        with step(stage.console, "switchyard curate: what may be learned from them, without suspects"):
            kept = commands("curate", small.name, "--data", "sample", "--json")
        counts, held = kept["counts"]["rows"], kept["quarantine"]["rows"]
        version = kept["dvc"].get("version", "no version")
        say(f"  {counts} rows to learn from, {held} quarantined; DVC has them as {version}", soft_wrap=True)
        with step(stage.console, "switchyard monitor, again"):
            found = commands("monitor", small.name, "--window", str(len(small.shifted)), "--json")
        say(f"  {_verdict(found)}", soft_wrap=True)
        if found["alarm"] is None:
            raise ProcessError(f"{small.name}: no alarm came of {len(small.shifted)} messages of new labels")
        with step(
            stage.console, f"Prefect's automation starts a retraining for alarm {found['alarm']['id']}"
        ):
            run = _followed(stage, f"{small.name}-{found['alarm']['id']}")
        said = _outcome(stage, small.name)
        say(f"  [bold]{said}[/bold]", soft_wrap=True)
    say(_versions(commands("registry", "list", "--json")))
    _where(stage, found["prefect_run_id"], str(run["id"]))


class _Commands:
    """Our own commands in the loop's place, with this demo's Prefect."""

    def __init__(self, stage: Stage, place: Path) -> None:
        self.place = place
        self.env = {
            "PREFECT_API_URL": f"{stage.at.prefect}/api",
            "PREFECT_HOME": str((stage.home / "prefect").resolve()),
            "SWITCHYARD_HOME": str(place / "home"),
            "SWITCHYARD_USECASES": str(place / "usecases"),
        }

    def __call__(self, *words: str) -> Any:
        return run_json(*words, env=self.env, cwd=self.place)


class _Caller:
    """The small use case's API, as a caller and as a reviewer."""

    def __init__(self, url: str, usecase: str, caller: str, reviewer: str) -> None:
        self._usecase = usecase
        self._caller = httpx.Client(base_url=url, headers=_bearer(caller), timeout=TIMEOUT_S)
        self._reviewer = httpx.Client(base_url=url, headers=_bearer(reviewer), timeout=TIMEOUT_S)

    def decide(self, messages: Sequence[tuple[Mapping[str, object], str]]) -> dict[str, str]:
        """Send them one after the other; returns the truth of each that a person is to see, by its review."""
        found: dict[str, str] = {}
        for fields, label in messages:
            body = {"use_case": self._usecase, "input": dict(fields), "context": {"purpose": "service"}}
            review = _read(self._caller.post("/v1/decide", json=body)).get("review_id")
            if review is not None:
                found[str(review)] = label
        return found

    def review(self, truth: Mapping[str, str]) -> int:
        """Take and label what waits, the most valuable first, until nothing does; returns how many."""
        done = 0
        while True:
            taken = _read(self._reviewer.post("/v1/reviews/next", json={"take": True}))["review"]
            if taken is None:
                return done
            word = {"label": truth[taken["id"]]}
            _read(self._reviewer.post(f"/v1/reviews/{taken['id']}", json=word))
            done += 1


@contextmanager
def _served(stage: Stage, small: SmallCase, commands: _Commands) -> Iterator[_Caller]:
    """The small use case's orchestrator, and its flows with their automation, while it lasts."""
    home = commands.place / "home"
    port = processes.free_port(3001)
    orchestrator = processes.orchestrator(home, port, commands.env)
    flows = processes.flow_server(home, stage.at.prefect, small.name)
    flows.env = {**flows.env, **commands.env}
    for server in (orchestrator, flows):
        server.cwd = commands.place
    keys = [
        commands("keys", "create", "--tenant", "demo", "--role", role, "--json")["key"]
        for role in ("caller", "reviewer")
    ]
    with orchestrator, flows:
        with step(stage.console, "Start its orchestrator, and its flows with their automation, in Prefect"):
            orchestrator.wait_ready()
            flows.wait_ready()
        yield _Caller(f"http://127.0.0.1:{port}", small.name, *keys)
    _pause(stage, load_usecase(small.name, commands.place / "usecases").name)


def _pause(stage: Stage, name: str) -> None:
    """No schedule of this chapter goes on after it: its runs stay to be looked at."""
    found = _ask(stage, "deployments/filter", {"deployments": {"name": {"any_": [name]}}})
    for one in found:
        httpx.patch(
            f"{stage.at.prefect}/api/deployments/{one['id']}", json={"paused": True}, timeout=TIMEOUT_S
        )


def _followed(stage: Stage, name: str) -> Mapping[str, Any]:
    """The retraining run, from its first sight to its end, each state said as it comes."""
    until, last = time.monotonic() + PATIENCE_S, ""
    while time.monotonic() < until:
        for run in _ask(stage, "flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}}):
            if run["state_name"] != last:
                last = str(run["state_name"])
                stage.console.print(f"  retraining/{name}: {last}")
            if run["state_type"] == "COMPLETED":
                return dict(run)
            if run["state_type"] in ("FAILED", "CRASHED", "CANCELLED"):
                raise ProcessError(f"the retraining run ended as {last}: {stage.at.prefect}")
        time.sleep(0.5)
    raise ProcessError(f"no retraining run ended within {PATIENCE_S:.0f} s; see {stage.at.prefect}")


def _outcome(stage: Stage, name: str) -> str:
    """What the run itself reported."""
    asked = {"artifacts": {"key": {"any_": [f"{name}-retraining"]}}, "sort": "CREATED_DESC", "limit": 1}
    (told,) = _ask(stage, "artifacts/filter", asked)
    lines = [line.strip() for line in str(told["data"]).splitlines()]
    return next((line for line in lines if "version" in line), lines[0] if lines else "no word")


def _ask(stage: Stage, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    answer = httpx.post(f"{stage.at.prefect}/api/{path}", json=dict(body), timeout=TIMEOUT_S)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def _verdict(found: Mapping[str, Any]) -> str:
    return f"{'[red]ALARM[/red]' if found['alarm'] else 'no alarm'}: {found['reason']}"


def _versions(listed: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="switchyard registry list", title_justify="left")
    for column in ("version", "alias", "signed by"):
        table.add_column(column)
    for one in listed:
        table.add_row(str(one["version"]), ", ".join(one["aliases"]) or "-", str(one.get("key_id", "")))
    return table


def _where(stage: Stage, monitored: str, retrained: str) -> None:
    """Cause and effect in Prefect's UI."""
    for what, path in (
        ("the alarm's run", f"runs/flow-run/{monitored}"),
        ("the retraining", f"runs/flow-run/{retrained}"),
        ("the event between", "events"),
        ("the automation", "automations"),
    ):
        stage.console.print(f"  {what:<18} {stage.at.prefect}/{path}", soft_wrap=True)


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _read(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != httpx.codes.OK:
        raise ProcessError(f"the orchestrator answered {answer.status_code}: {answer.text[:300]}")
    body: dict[str, Any] = answer.json()
    return body
