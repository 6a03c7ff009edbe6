"""What a training run needs around it: a Prefect server, the named one or its own, and MLflow's store.

Prefect reads its settings when it is first imported, so enter `prefect_api` before that.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.errors import FlowError
from flows.processes import free_port, prefect_server
from registry.reach import check_reachable, sqlite_file
from registry.settings import RegistrySettings

DRAIN_S = 10


@contextmanager
def prefect_api(home: Path) -> Iterator[Callable[[], None]]:
    """A server for the block: `PREFECT_API_URL` if set, else our own, whose runs persist under `home`.

    What it gives waits until that server is ready (the very first start makes the database: 20-46 s);
    until then there is time to import what is heavy. Raises `FlowError` when the named server does not
    answer, and when called `ProcessError` when ours does not start.
    """
    defaults = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        # Runs are logged to the API, for its UI; on the terminal our own lines say it once.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if url := os.environ.get("PREFECT_API_URL"):
        _check_reachable(url)
        yield lambda: None
        return
    port = free_port(0)
    # Prefect makes its folder, and none above it.
    (home / "prefect").mkdir(parents=True, exist_ok=True)
    with prefect_server(home, port) as server:
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        try:
            yield server.wait_ready
        finally:
            _drain()
            del os.environ["PREFECT_API_URL"]


def require_mlflow(settings: RegistrySettings) -> None:
    """Raise `RegistryUnavailable` when MLflow's server or database does not answer: better now than later."""
    if sqlite_file(settings.tracking_uri) is None:  # a file is made when it is first written to
        check_reachable(settings.tracking_uri)


def _drain() -> None:
    """Send what is still queued (task states travel as events) before the server is stopped."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=DRAIN_S)
    APILogWorker.drain_all(timeout=DRAIN_S)


def _check_reachable(url: str, timeout_s: float = 5.0) -> None:
    import httpx

    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=timeout_s).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FlowError(
            f"Prefect at PREFECT_API_URL does not answer ({type(error).__name__}); start it with "
            "`switchyard up`, or unset PREFECT_API_URL to run without it"
        ) from error
