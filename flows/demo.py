"""`switchyard demo`: the whole story on this machine, from data to signed answers, chapter by chapter.

It runs the same commands that a user would, as processes of their own, and talks to the
orchestrator over HTTP. Nothing in it knows what the use case is about.
"""

import json
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from feature_checks.usecase import UseCase, load_usecase
from flows import demo_loop, demo_rollouts, demo_story, processes
from flows.demo_stage import Addresses, Chapter, Stage, Wishes, run_json, step
from flows.demo_traffic import Client, read_script
from flows.relay import Relay
from flows.stand_in import MODEL_NAME
from registry.settings import RegistrySettings

CHAPTERS: Mapping[str, Chapter] = {
    "story": demo_story.tell,
    "rollouts": demo_rollouts.tell,
    "loop": demo_loop.tell,
}
"""In the order in which they are told. A new one is a module with one such function, a line here, and its
name in `flows.cli.Chapter`."""

PRICE_USD_PER_MILLION = {"input": 0.15, "output": 0.60}
"""A made-up price, near that of small cloud models, so that the demo has a cost to show."""

_PORTS: Mapping[str, int] = {
    "prefect": 4200,
    "mlflow": 5000,
    "orchestrator": 3000,
    "model": 8081,
    "relay": 8082,
}


def run(name: str, data: str, wishes: Wishes, only: str | None, keep: bool, console: Console) -> None:
    """Set the stage and tell all chapters, or `only` one; with `keep`, stay up until Ctrl-C."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _terminate)  # so that the servers below are stopped then, too
    with ExitStack() as stack:
        stage = _set(stack, load_usecase(name), data, wishes, console)
        for chapter in [only] if only else CHAPTERS:
            CHAPTERS[chapter](stage)
        console.print(f"\nDone in {time.monotonic() - started:.0f} s. ", end="")
        entrance = _console(stage) if keep else ""
        _farewell(console, stage.at, keep, entrance)


def _set(stack: ExitStack, usecase: UseCase, data: str, wishes: Wishes, console: Console) -> Stage:
    """Start the servers, train, and serve what was trained."""
    script = read_script(usecase)
    settings = RegistrySettings()
    home = settings.home
    ports = {n: processes.free_port(p) for n, p in _PORTS.items()}
    at = Addresses(*(f"http://127.0.0.1:{ports[n]}" for n in ("prefect", "mlflow", "orchestrator")))
    with step(console, "Start Prefect, MLflow and the stand-in model (a first start takes up to a minute)"):
        servers = [
            processes.prefect_server(home, ports["prefect"]),
            processes.mlflow_server(home, settings.tracking_uri, settings.artifacts_dir, ports["mlflow"]),
            processes.stand_in_model(home, ports["model"]),
        ]
        for server in servers:
            stack.enter_context(server)
        for server in servers:
            server.wait_ready()
    relay = stack.enter_context(Relay(ports["relay"], f"http://127.0.0.1:{ports['model']}"))
    with step(
        console,
        f"Train {usecase.name}: fetch, check, prepare, fit, evaluate, calibrate, package, sign, register",
    ):
        trained = _train(usecase.name, data, at)
    key = run_json("keys", "create", "--tenant", "demo", "--role", "caller", "--json")["key"]
    with step(console, "Start the orchestrator: bentoml serve services.orchestrator:Orchestrator"):
        env = _orchestrator_env(usecase, relay.url, Path(stack.enter_context(TemporaryDirectory())))
        orchestrator = stack.enter_context(processes.orchestrator(home, ports["orchestrator"], env))
        orchestrator.wait_ready()
        client = Client(at.orchestrator, key, usecase)
        client.decide(script.personal)  # the stand-in reads its prompt once, and remembers it
    return Stage(console, usecase, script, wishes, home, at, client, relay, trained, stack)


def _terminate(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _console(stage: Stage) -> str:
    """Start the console, if it is installed. Returns where it is."""
    port = processes.free_port(3100)
    if processes.has_console():
        stage.stack.enter_context(processes.console(stage.home, port, stage.at.orchestrator)).wait_ready()
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
    found: dict[str, Any] = run_json("train", name, "--data", data, "--reuse", "--json", env=env)
    return found
