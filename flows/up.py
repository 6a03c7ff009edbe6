"""`switchyard up`: Prefect with all flows, MLflow, orchestrator, console by one command; Ctrl-C stops all."""

import json
import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from feature_checks.usecase import list_usecases, load_usecase
from flows import processes
from flows.errors import ProcessError
from flows.stand_in import MODEL_NAME
from registry.settings import RegistrySettings


def run(
    prefect_port: int, mlflow_port: int, port: int, console_port: int, stand_in: bool, console: Console
) -> None:
    """Start every server, print where they are, and wait; ends all when one ends or on a signal."""
    settings = RegistrySettings()
    home = settings.home
    checks = (
        (prefect_port, "Prefect", "--prefect-port"),
        (mlflow_port, "MLflow", "--mlflow-port"),
        (port, "orchestrator", "--port"),
        *(((console_port, "console", "--console-port"),) if processes.has_console() else ()),
    )
    for number, name, option in checks:
        processes.require_free(number, name, option)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    env: dict[str, str] = {}
    with ExitStack() as stack:
        servers = [
            processes.prefect_server(home, prefect_port),
            processes.mlflow_server(home, settings.tracking_uri, settings.artifacts_dir, mlflow_port),
        ]
        if stand_in:
            model_port = processes.free_port(8081)
            servers.append(processes.stand_in_model(home, model_port))
            env["SWITCHYARD_ENDPOINTS"] = stand_in_endpoint(model_port)
        elif "SWITCHYARD_ENDPOINTS" not in os.environ:
            console.print(
                "No cloud endpoint is set (SWITCHYARD_ENDPOINTS); add --stand-in for the demo's model."
            )
        servers.append(processes.orchestrator(home, port, env))
        if processes.has_console():
            servers.append(processes.console(home, console_port, f"http://127.0.0.1:{port}"))
        for server in servers:
            stack.enter_context(server)
        for server in servers:
            with console.status(f"waiting for {server.name} …"):
                server.wait_ready()
        for server in _flows(home, f"http://127.0.0.1:{prefect_port}"):
            servers.append(stack.enter_context(server))
            with console.status(f"waiting for {server.name} …"):
                server.wait_ready()
        console.print(f"Prefect UI  http://127.0.0.1:{prefect_port}")
        console.print(f"MLflow UI   http://127.0.0.1:{mlflow_port}")
        console.print(f"API docs    http://127.0.0.1:{port}/v1/docs")
        console.print(f"Console     {processes.console_at(console_port, '<yours>')}", soft_wrap=True)
        console.print(f"Logs        {home / 'logs'}\nCtrl-C stops all.")
        while not stop.wait(1):
            for server in servers:
                if not server.running():
                    raise ProcessError(f"{server.name} ended; the others are stopped; see {server.log}")


def _flows(home: Path, prefect_url: str) -> list[processes.Server]:
    """What runs by the clock and by events, once Prefect answers."""
    usecases = [load_usecase(name) for name in list_usecases()]
    monitored = [usecase.name for usecase in usecases if usecase.local is not None]
    flows = [processes.flow_server(home, prefect_url, monitored[0])] if monitored else []
    return [*flows, processes.rollout_controller(home, prefect_url)]


def stand_in_endpoint(port: int) -> str:
    """SWITCHYARD_ENDPOINTS for the stand-in model, under the name `primary`."""
    url = f"http://127.0.0.1:{port}/v1"
    free = {"usd_per_million_input": 0, "usd_per_million_output": 0}  # unset, it would use up the budget
    return json.dumps(
        {"primary": {"base_url": url, "api_key": "stand-in", "model": MODEL_NAME, "region": "local", **free}}
    )
