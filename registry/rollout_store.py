"""Rollouts and their records in SQLite or PostgreSQL: one that lives per component; the first move wins.

A move is written with its record, all or nothing, and only onto the revision that it was decided on. So
any number of controllers may run, and one that dies leaves the rollout before its move or after it.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr, field_validator
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    select,
    text,
    update,
)  # fmt: skip
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from registry.rollout import Record, Rollout
from registry.rollout_errors import RolloutNotFound, RolloutRaced, RolloutRefused, RolloutsUnavailable
from registry.settings import RegistrySettings

FORM = 1
BUSY_TIMEOUT_S = 5.0

_metadata = MetaData()
_rollouts = Table(
    "rollouts",
    _metadata,
    Column("id", String(64), primary_key=True),
    Column("component", String(140), nullable=False, index=True),
    Column("live", String(140), unique=True),  # the component, while it lives: so there is only one
    Column("started", Integer, nullable=False),  # their order
    Column("revision", Integer, nullable=False),
    Column("value", Text, nullable=False),
)
_records = Table(
    "rollout_records",
    _metadata,
    Column("rollout", String(64), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("value", Text, nullable=False),
)
_form = Table("rollouts_form", _metadata, Column("form", Integer, primary_key=True))


class RolloutSettings(RegistrySettings):
    """Where rollouts are kept: `SWITCHYARD_DATABASE_URL` (PostgreSQL), else `{home}/rollouts.db`."""

    database_url: SecretStr | None = None

    @field_validator("database_url")
    @classmethod
    def _postgres_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not url.get_secret_value().startswith(("postgresql://", "postgresql+psycopg://")):
            raise ValueError("expected postgresql://user:password@host:port/database")
        return url

    @property
    def rollouts(self) -> Path | str:
        return self.database_url.get_secret_value() if self.database_url else self.home / "rollouts.db"


class Rollouts:
    """Opens nothing until the first use; closed by `with`. Methods raise `RolloutsUnavailable`."""

    def __init__(self, target: Path | str) -> None:
        self._target = target
        self._engine: Engine | None = None

    def start(self, rollout: Rollout, record: Record) -> None:
        """Keep a new one. Raises `RolloutRefused` where the component has one that lives."""
        try:
            with self._connected() as connection:
                last = connection.execute(
                    select(_rollouts.c.started).order_by(_rollouts.c.started.desc())
                ).scalar()
                row = _row(rollout) | {
                    "id": rollout.id,
                    "component": rollout.component,
                    "started": (last or 0) + 1,
                }
                connection.execute(insert(_rollouts).values(row))
                self._note(connection, rollout, record)
        except IntegrityError:
            raise RolloutRefused(
                f"rollout of {rollout.component} not started: it has one already; "
                f"see `switchyard rollout status {rollout.component}`, and abort or promote that first"
            ) from None

    def save(self, before: Rollout, after: Rollout, record: Record) -> None:
        """One move, from the revision that it was decided on. Raises `RolloutRaced`."""
        with self._connected() as connection:
            still = (_rollouts.c.id == before.id) & (_rollouts.c.revision == before.revision)
            if connection.execute(update(_rollouts).where(still).values(_row(after))).rowcount != 1:
                raise RolloutRaced(f"the rollout of {before.component} was moved meanwhile; read it anew")
            self._note(connection, after, record)

    def live(self) -> list[Rollout]:
        """All that have not ended, by component."""
        query = select(_rollouts.c.value).where(_rollouts.c.live.is_not(None)).order_by(_rollouts.c.component)
        with self._connected() as connection:
            return [Rollout.model_validate_json(value) for (value,) in connection.execute(query)]

    def newest(self, count: int) -> list[Rollout]:
        """The last ones that were started, of all components, newest first."""
        query = select(_rollouts.c.value).order_by(_rollouts.c.started.desc()).limit(count)
        with self._connected() as connection:
            return [Rollout.model_validate_json(value) for (value,) in connection.execute(query)]

    def latest(self, component: str) -> Rollout:
        """The component's last one, whether it lives or has ended. Raises `RolloutNotFound`."""
        query = select(_rollouts.c.value).where(_rollouts.c.component == component)
        with self._connected() as connection:
            value = connection.execute(query.order_by(_rollouts.c.started.desc()).limit(1)).scalar()
        if value is None:
            raise RolloutNotFound("this component has no rollout; see `switchyard rollout start --help`")
        return Rollout.model_validate_json(value)

    def records(self, rollout_id: str) -> list[Record]:
        """All moves of one rollout, in order."""
        query = select(_records.c.value).where(_records.c.rollout == rollout_id).order_by(_records.c.revision)
        with self._connected() as connection:
            return [Record.model_validate_json(value) for (value,) in connection.execute(query)]

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def __enter__(self) -> "Rollouts":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note(self, connection: Connection, rollout: Rollout, record: Record) -> None:
        value = record.model_dump_json()
        row = {"rollout": rollout.id, "revision": record.revision, "value": value}
        connection.execute(insert(_records).values(row))

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A transaction. Foreign errors are translated here, without their text: it may quote values."""
        try:
            if self._engine is None:
                self._engine = _opened(self._target)
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            where = "PostgreSQL" if isinstance(self._target, str) else self._target.name
            raise RolloutsUnavailable(
                f"rollouts ({where}) cannot be read or written ({type(error).__name__}); see whether the "
                "database runs and takes connections, or the disk is full or its folder not writable"
            ) from error


def _row(rollout: Rollout) -> dict[str, object]:
    live = None if rollout.ended else rollout.component
    return {"live": live, "revision": rollout.revision, "value": rollout.model_dump_json()}


def _opened(target: Path | str) -> Engine:
    if isinstance(target, str):
        rest = target.partition("://")[2]
        engine = create_engine(
            f"postgresql+psycopg://{rest}", connect_args={"connect_timeout": 3},
            pool_pre_ping=True, pool_size=2, hide_parameters=True,
        )  # fmt: skip
        _made(engine, "SELECT pg_advisory_xact_lock(hashtext('switchyard rollouts'))")
        return engine
    target.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        f"sqlite:///{target}",
        connect_args={"timeout": BUSY_TIMEOUT_S},
        poolclass=NullPool,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: object, _: object) -> None:
        for setting in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {setting}")  # type: ignore[attr-defined]  # DBAPI's own type is open

    with target.with_suffix(".lock").open("ab") as lock:  # processes that start together make it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        target.touch(mode=0o600)
        _made(engine, None)
    return engine


def _made(engine: Engine, lock: str | None) -> None:
    """Make the tables where they are not there. Raises `RolloutsUnavailable` for another release's form."""
    with engine.begin() as connection:
        if lock is not None:
            connection.execute(text(lock))
        _metadata.create_all(connection)
        form = connection.execute(select(_form.c.form)).scalar()
        if form is None:
            connection.execute(insert(_form).values(form=FORM))
        elif form != FORM:
            raise RolloutsUnavailable(
                f"rollouts: expected form {FORM}, got {form}; use the release that made it"
            )
