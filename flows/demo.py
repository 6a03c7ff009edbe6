"""`switchyard demo`: the whole story on this machine, from data to signed answers.

It runs the same commands that a user would, as processes of their own, and talks to the
orchestrator over HTTP. Nothing in it knows what the use case is about.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from feature_checks.usecase import UseCase, load_usecase
from flows import processes
from flows.demo_report import answer_panel, egress_panel, route_table
from flows.demo_traffic import TRAFFIC_S, Client, choose, read_script
from flows.errors import ProcessError
from flows.relay import Relay
from flows.stand_in import MODEL_NAME
from registry.settings import RegistrySettings

PRICE_USD_PER_MILLION = {"input": 0.15, "output": 0.60}
"""A made-up price, near that of small cloud models, so that the demo has a cost to show."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a person can look, once everything runs."""

    prefect: str
    mlflow: str
    orchestrator: str


def run(name: str, data: str, labelled: int, outside: int, keep: bool, console: Console) -> None:
    """Train, serve, replay, explain, redact, degrade; with `keep`, stay up until Ctrl-C."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _terminate)  # so that the servers below are stopped then, too
    usecase = load_usecase(name)
    script = read_script(usecase)
    settings = RegistrySettings()
    home = settings.home
    with ExitStack() as stack:
        ports = {n: processes.free_port(p) for n, p in _PORTS.items()}
        at = Addresses(*(f"http://127.0.0.1:{ports[n]}" for n in ("prefect", "mlflow", "orchestrator")))
        model_url = f"http://127.0.0.1:{ports['model']}"

        with _step(
            console, "Start Prefect, MLflow and the stand-in model (a first start takes up to a minute)"
        ):
            servers = [
                processes.prefect_server(home, ports["prefect"]),
                processes.mlflow_server(home, settings.tracking_uri, settings.artifacts_dir, ports["mlflow"]),
                processes.stand_in_model(home, ports["model"]),
            ]
            for server in servers:
                stack.enter_context(server)
            for server in servers:
                server.wait_ready()
        relay = stack.enter_context(Relay(ports["relay"], model_url))

        with _step(
            console, f"Train {name}: fetch, check, prepare, fit, evaluate, calibrate, package, sign, register"
        ):
            trained = _train(name, data, at)
        key = _switchyard_json("keys", "create", "--tenant", "demo", "--role", "caller", "--json")["key"]

        with _step(console, "Start the orchestrator: bentoml serve services.orchestrator:Orchestrator"):
            env = _orchestrator_env(usecase, relay.url, Path(stack.enter_context(TemporaryDirectory())))
            server = stack.enter_context(processes.orchestrator(home, ports["orchestrator"], env))
            server.wait_ready()
            client = Client(at.orchestrator, key, usecase)
            client.decide(script.personal)  # the stand-in reads its prompt once, and remembers it

        messages = choose(usecase, trained["data"], home / "data", labelled, outside)
        with _progress(
            console, f"Send {len(messages)} messages that it was not trained on", len(messages)
        ) as tick:
            observed = client.replay(messages, tick)
        if len(observed) < len(messages):
            console.print(f"  [dim]{len(observed)} sent: the demo sends for {TRAFFIC_S:.0f} s at most[/dim]")

        console.print()
        note = f"{name} on the {trained['data']} data; cloud: {MODEL_NAME}, at a made-up price"
        console.print(route_table(observed, note))
        asked = client.decide(script.question)
        console.print(answer_panel("One answer, and its proof", script.question, asked, _verify(asked, home)))
        relay.seen.clear()
        asked = client.decide(script.personal)
        title = "A card number, and what left the machine instead of it"
        console.print(egress_panel(title, script.personal, list(relay.seen), script.secret))
        relay.stop()
        asked = client.decide(script.personal)
        title = "The same message with the cloud endpoint stopped"
        console.print(answer_panel(title, script.personal, asked, _verify(asked, home)))
        console.print(f"\nDone in {time.monotonic() - started:.0f} s. ", end="")
        entrance = _console(stack, home, at) if keep else ""
        _farewell(console, at, keep, entrance)


_PORTS: Mapping[str, int] = {
    "prefect": 4200,
    "mlflow": 5000,
    "orchestrator": 3000,
    "model": 8081,
    "relay": 8082,
}


def _terminate(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _console(stack: ExitStack, home: Path, at: Addresses) -> str:
    """Start the console, if it is installed. Returns where it is."""
    port = processes.free_port(3100)
    if processes.has_console():
        stack.enter_context(processes.console(home, port, at.orchestrator)).wait_ready()
    return processes.console_at(port, "demo")


def _farewell(console: Console, at: Addresses, keep: bool, entrance: str) -> None:
    if not keep:
        console.print(
            "All servers are stopped. `switchyard demo --keep` leaves them up; `switchyard up` starts them."
        )
        return
    console.print("Still up, until Ctrl-C:")
    for what, url in (
        ("Prefect UI", at.prefect),
        ("MLflow UI", at.mlflow),
        ("API docs", f"{at.orchestrator}/v1/docs"),
        ("Console", entrance),
    ):
        console.print(f"  {what:<11} {url}", soft_wrap=True)
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("Stopping.")


def _orchestrator_env(usecase: UseCase, url: str, counters: Path) -> dict[str, str]:
    """The stand-in as cloud, with counters of the demo's own: neither an earlier demo's breaker nor real
    budgets play a part, and as slow as the use case lets it be is not too slow."""
    slow_call_s = usecase.cloud.timeout_s if usecase.cloud else 5.0
    return {
        "SWITCHYARD_ENDPOINTS": json.dumps(_endpoints(usecase, url)),
        "SWITCHYARD_COUNTERS_FILE": str(counters / "counters.db"),
        "SWITCHYARD_SLOW_CALL_S": str(slow_call_s),
    }


def _endpoints(usecase: UseCase, url: str) -> dict[str, Any]:
    """Every endpoint that the use case names, each the stand-in."""
    names = usecase.cloud.endpoints if usecase.cloud else ()
    one = {
        "base_url": f"{url}/v1",
        "api_key": "stand-in",
        "model": MODEL_NAME,
        "region": "local",
        "usd_per_million_input": PRICE_USD_PER_MILLION["input"],
        "usd_per_million_output": PRICE_USD_PER_MILLION["output"],
    }
    return dict.fromkeys(names, one)


def _train(name: str, data: str, at: Addresses) -> dict[str, Any]:
    env = {"PREFECT_API_URL": f"{at.prefect}/api", "SWITCHYARD_MLFLOW_URL": at.mlflow}
    return _switchyard_json("train", name, "--data", data, "--reuse", "--json", env=env)


def _verify(answer: Mapping[str, Any], home: Path) -> str:
    """What `switchyard receipt verify` says, offline, of an answer's receipt."""
    done = _switchyard("receipt", "verify", answer["receipt"], "--jwks", str(home / "keys" / "jwks.json"))
    return " ".join(done.split())


def _switchyard_json(*words: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_switchyard(*words, env=env))
    return found


def _switchyard(*words: str, env: Mapping[str, str] | None = None) -> str:
    """One of our own commands in a process of its own; its progress (stderr) passes through."""
    command = [sys.executable, "-m", "switchyard", *words]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **(env or {})}
    )
    if done.returncode != 0:
        raise ProcessError(
            f"`switchyard {' '.join(words[:2])}` failed with exit code {done.returncode}; see above"
        )
    return done.stdout


@contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    console.print(f"[bold]·[/bold] {what}")
    started = time.monotonic()
    yield
    console.print(f"  [dim]{time.monotonic() - started:.0f} s[/dim]")


@contextmanager
def _progress(console: Console, what: str, total: int) -> Iterator[Any]:
    columns = (TextColumn("· {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
