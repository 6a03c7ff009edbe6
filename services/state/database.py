"""The state database: opened from settings, brought to its newest form, errors translated once."""

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from services.errors import StateUnavailable

NEWEST = "0001"
"""The revision that this code works with: that of the last file in `migrations/versions`."""

BUSY_TIMEOUT_S = 0.25
"""How long a statement waits for SQLite's write lock; readers never wait (WAL)."""


class Database:
    """Connections to the state database. Opens nothing until the first use; closed by `with`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._ready: Engine | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries. Raises `StateUnavailable`."""
        try:
            with self._engine().connect() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise self._unavailable("read", error) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction, committed at the end. Raises `StateUnavailable`."""
        try:
            with self._engine().begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise self._unavailable("written", error) from error

    def close(self) -> None:
        with self._lock:
            if self._ready is not None:
                self._ready.dispose()
                self._ready = None

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _engine(self) -> Engine:
        if self._ready is None:
            with self._lock:
                if self._ready is None:
                    self._ready = self._open()
        return self._ready

    def _open(self) -> Engine:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(self._file.with_suffix(".lock")):
            self._file.touch(mode=0o600)
            # Migrations get an engine that keeps nothing open, so that the pool starts clean.
            migrating = _sqlite(self._file, poolclass=NullPool)
            try:
                migrate(migrating)
            finally:
                migrating.dispose()
        return _sqlite(self._file, poolclass=QueuePool)

    def _unavailable(self, what: str, error: Exception) -> StateUnavailable:
        # The cause's own text may quote a statement's values; its class says enough.
        return StateUnavailable(
            f"the state database {self._file.name} cannot be {what} ({type(error).__name__}); "
            "see whether its disk is full, its folder writable, or another process holds it locked"
        )


def migrate(engine: Engine) -> None:
    """Bring the database to `NEWEST`; costs one query when it is there already."""
    with engine.begin() as connection:
        if _revision(connection) == NEWEST:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    try:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except SQLAlchemyError:
        return None


def _sqlite(file: Path, **options: Any) -> Engine:
    engine = create_engine(
        f"sqlite:///{file}", connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, **options
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


@contextmanager
def _one_at_a_time(lock_file: Path) -> Iterator[None]:
    """Several workers start at once; one of them migrates, the others find it done."""
    with lock_file.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
