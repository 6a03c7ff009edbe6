"""Settings that Prefect reads when it is first imported; ours where the user has said nothing."""

import os
from pathlib import Path

from flows.errors import FlowError


def prepare_prefect(home: Path) -> None:
    """Point Prefect at our state folder. Call it before the first import of prefect in a process.

    Without `PREFECT_API_URL`, runs go to a server that lives as long as this process, on a database
    below `home`, so that `switchyard up` shows them later.
    """
    defaults = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        # The first start makes the database: 20-46 s.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "150",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        # Runs are logged to the API, for its UI; on the terminal our own lines say it once.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def check_prefect_reachable(timeout_s: float = 5.0) -> None:
    """Raise `FlowError` when a server is named and does not answer; do nothing when none is named."""
    import httpx

    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=timeout_s).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FlowError(
            f"Prefect at PREFECT_API_URL does not answer ({type(error).__name__}); start it with "
            "`switchyard up`, or unset PREFECT_API_URL to run without it"
        ) from error
