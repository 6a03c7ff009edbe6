"""The state database: opened from settings, brought to its newest form, errors translated once."""

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from services.errors import StateUnavailable

NEWEST = "0002"
"""The revision that this code works with: that of the last file in `migrations/versions`."""

BUSY_TIMEOUT_S = 0.25
"""How long a statement waits for SQLite's write lock; readers never wait (WAL)."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A set of tables with migrations of its own, so that two may live in one PostgreSQL."""

    name: str
    folder: str  # beside this module
    newest: str
    version_table: str


STATE = Schema("state", "migrations", NEWEST, "alembic_version")
DECISIONS = Schema("decisions", "decision_migrations", "0001", "decisions_version")
REVIEWS = Schema("reviews", "review_migrations", "0002", "reviews_version")


class Database:
    """Connections to one database: a SQLite file, or a PostgreSQL by its URL. Opens nothing until the
    first use; closed by `with`."""

    def __init__(self, target: Path | str, schema: Schema = STATE) -> None:
        self._target = target
        self._schema = schema
        self._lock = threading.Lock()
        self._ready: Engine | None = None
        self._opened: tuple[int, int] | None = None

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
        """Opened anew when its file was removed or another put there: whoever goes on with the old one
        knows no new key, and none that was revoked."""
        ready = self._ready
        if ready is not None and self._opened == self._there():
            return ready
        with self._lock:
            if self._ready is not None and self._opened != self._there():
                self._ready.dispose()
                self._ready = None
            if self._ready is None:
                self._ready = self._open()
                self._opened = self._there()
            return self._ready

    def _there(self) -> tuple[int, int] | None:
        """Which file now has the name; None when there is none, and of a PostgreSQL."""
        if isinstance(self._target, str):
            return None
        try:
            found = self._target.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _open(self) -> Engine:
        if isinstance(self._target, str):
            engine = _postgres(self._target)
            try:
                migrate(engine, self._schema)
            except BaseException:
                engine.dispose()
                raise
            return engine
        self._target.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(self._target.with_suffix(".lock")):
            self._target.touch(mode=0o600)
            # Migrations get an engine that keeps nothing open, so that the pool starts clean.
            migrating = _sqlite(self._target, poolclass=NullPool)
            try:
                migrate(migrating, self._schema)
            finally:
                migrating.dispose()
        return _sqlite(self._target, poolclass=QueuePool)

    def _unavailable(self, what: str, error: Exception) -> StateUnavailable:
        # The cause's own text may quote a statement's values; its class says enough.
        if isinstance(self._target, str):
            return StateUnavailable(
                f"the {self._schema.name} database (PostgreSQL) cannot be {what} ({type(error).__name__}); "
                "see whether it runs and takes connections from here"
            )
        return StateUnavailable(
            f"the {self._schema.name} database {self._target.name} cannot be {what} "
            f"({type(error).__name__}); see whether its disk is full, its folder writable, or another "
            "process holds it locked"
        )


_MIGRATING = threading.Lock()  # alembic keeps the migration at work in module globals


def migrate(engine: Engine, schema: Schema = STATE) -> None:
    """Bring the database to the schema's newest form; costs one query when it is there already."""
    if _revision(engine, schema) == schema.newest:
        return
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # several machines may start at once
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": schema.folder})
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / schema.folder))
        config.attributes["connection"] = connection
        with _MIGRATING:
            command.upgrade(config, "head")


def _revision(engine: Engine, schema: Schema) -> str | None:
    try:
        with engine.connect() as connection:
            query = f"SELECT version_num FROM {schema.version_table}"  # noqa: S608  — a constant of ours
            return connection.execute(text(query)).scalar()
    except ProgrammingError:  # PostgreSQL's: no such table yet
        return None
    except OperationalError:
        if engine.dialect.name == "sqlite":  # the same, as SQLite says it
            return None
        raise


def _postgres(url: str) -> Engine:
    scheme, _, rest = url.partition("://")
    return create_engine(
        f"{'postgresql+psycopg' if scheme in ('postgres', 'postgresql') else scheme}://{rest}",
        connect_args={"connect_timeout": 3},
        pool_pre_ping=True,
        pool_size=3,
        hide_parameters=True,
    )


def _sqlite(file: Path, **options: Any) -> Engine:
    engine = create_engine(
        f"sqlite:///{file}", connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, **options
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")  # what retention takes out is overwritten

    return engine


@contextmanager
def _one_at_a_time(lock_file: Path) -> Iterator[None]:
    """Several workers start at once; one of them migrates, the others find it done."""
    with lock_file.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
