"""Is MLflow's store there? Asked within three seconds, before MLflow's import (6 s) and retries (minutes)."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from registry.errors import RegistryUnavailable

PROBE_TIMEOUT_S = 3

Ask = Callable[[str, dict[str, Any]], Any]
"""A query with `:name` for each value -> its rows."""

# Whoever needs more patience sets them; four minutes of retries, MLflow's default, help nobody.
MLFLOW_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "DO_NOT_TRACK": "true",
}


def is_server(uri: str) -> bool:
    """Is this the address of an MLflow server, and not a database?"""
    return uri.startswith(("http://", "https://"))


def sqlite_file(uri: str) -> Path | None:
    """The file behind a `sqlite:///` URI; None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def shown(uri: str) -> str:
    """The URI without a password, for messages."""
    scheme, separator, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    return f"{scheme}{separator}{host}{slash}{path.partition('?')[0]}"


def check_reachable(uri: str) -> None:
    """Return when the store answers, or is a database file that is yet to be made.

    Raises `RegistryUnavailable` that says what to start or set.
    """
    if is_server(uri):
        _check_server(uri)
    elif "://" in uri:
        _check_database(uri)
    else:
        raise RegistryUnavailable(
            f"SWITCHYARD_MLFLOW_TRACKING_URI: expected http(s)://…, sqlite:///… or postgresql://…, "
            f"got '{shown(uri)}'"
        )


def _check_server(uri: str) -> None:
    import httpx

    try:
        httpx.get(f"{uri.rstrip('/')}/health", timeout=PROBE_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RegistryUnavailable(
            f"MLflow at {shown(uri)} does not answer ({type(error).__name__}); start it (`switchyard up`), "
            "or correct SWITCHYARD_MLFLOW_TRACKING_URI; models already placed go on serving"
        ) from error


def _check_database(uri: str) -> None:
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return  # nothing to reach yet: MLflow makes it, and asking would leave an empty file behind
    with asking(uri) as ask:
        ask("SELECT 1" if file is None else "PRAGMA schema_version", {})


@contextmanager
def asking(uri: str) -> Iterator[Ask]:
    """Reads of the database itself. Raises `RegistryUnavailable` where it cannot be opened or read."""
    file = sqlite_file(uri)
    try:
        with _sqlite(file) if file is not None else _server(uri) as ask:
            yield ask
    except _errors(file) as error:
        raise RegistryUnavailable(
            f"MLflow's database {shown(uri)} cannot be opened ({type(error).__name__}): is it there, "
            "and may this user write it? Otherwise correct SWITCHYARD_MLFLOW_TRACKING_URI"
        ) from error


@contextmanager
def _sqlite(file: Path) -> Iterator[Ask]:
    # Without SQLAlchemy, which takes a second to import where nothing is compiled yet.
    with closing(sqlite3.connect(file, timeout=PROBE_TIMEOUT_S)) as connection:
        yield lambda text, values: connection.execute(text, values).fetchall()


@contextmanager
def _server(uri: str) -> Iterator[Ask]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(
        uri,
        poolclass=sqlalchemy.NullPool,
        connect_args={"connect_timeout": PROBE_TIMEOUT_S},
        hide_parameters=True,
    )
    with engine.connect() as connection:
        yield lambda text, values: connection.execute(sqlalchemy.text(text), values).all()


def _errors(file: Path | None) -> tuple[type[Exception], ...]:
    if file is not None:
        return (sqlite3.Error,)
    from sqlalchemy.exc import SQLAlchemyError

    return (SQLAlchemyError, ImportError, TypeError)
