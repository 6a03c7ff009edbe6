"""The database of rollouts: its tables, how it is opened, and how an older form of it is migrated.

SQLite or PostgreSQL. Form 1 held rollouts and their records; form 2 adds what workers counted, and kill
switches; form 3 adds changes of thresholds;
form 4 adds signed copies of configurations.
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
    Float,
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

from registry.rollout_errors import RolloutsUnavailable
from registry.settings import RegistrySettings

FORM = 4
BUSY_TIMEOUT_S = 5.0

_metadata = MetaData()
ROLLOUTS = Table(
    "rollouts",
    _metadata,
    Column("id", String(64), primary_key=True),
    Column("component", String(140), nullable=False, index=True),
    Column("live", String(140), unique=True),  # the component, while it lives: so there is only one
    Column("started", Integer, nullable=False),  # their order
    Column("revision", Integer, nullable=False),
    Column("value", Text, nullable=False),
)
RECORDS = Table(
    "rollout_records",
    _metadata,
    Column("rollout", String(64), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("value", Text, nullable=False),
)
COUNTS = Table(
    "rollout_counts",
    _metadata,
    Column("rollout", String(64), primary_key=True),
    Column("step", String(64), primary_key=True),
    Column("worker", String(64), primary_key=True),
    Column("variant", String(16), primary_key=True),
    Column("settled", Integer, primary_key=True),  # 1: counted after the step's first `novelty_s`
    Column("value", Text, nullable=False),
)
KEYS = Table(
    "rollout_keys",
    _metadata,
    Column("rollout", String(64), primary_key=True),
    Column("step", String(64), primary_key=True),
    Column("sticky", String(64), primary_key=True),  # a keyed hash
    Column("variant", String(16), nullable=False),
)
BUDGETS = Table(
    "rollout_budgets",
    _metadata,
    Column("use_case", String(64), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("worker", String(64), primary_key=True),
    Column("requests", Integer, nullable=False),
    Column("bad", Integer, nullable=False),
    Column("allowed", Float, nullable=False),  # the share of bad ones that the use case's SLO allows
)
SWITCHES = Table(
    "switches",
    _metadata,
    Column("name", String(140), primary_key=True),
    Column("number", Integer, primary_key=True),  # every turn is kept; the last one holds
    Column("value", Text, nullable=False),
)
THRESHOLDS = Table(
    "thresholds",
    _metadata,
    Column("use_case", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),  # every change is kept; the last one holds
    Column("value", Text, nullable=False),
)
CONFIGS = Table(
    "rollout_configs",
    _metadata,
    Column("use_case", String(64), primary_key=True),
    Column("version", String(64), primary_key=True),
    Column("value", Text, nullable=False),  # as registry/config_packages.py has it, signature and all
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


class RolloutDatabase:
    """Opens nothing until the first use. Raises `RolloutsUnavailable`."""

    def __init__(self, target: Path | str) -> None:
        self.target = target
        self._engine: Engine | None = None

    @property
    def made(self) -> bool:
        """May there be anything in it? False where its file was never made."""
        return self._engine is not None or isinstance(self.target, str) or self.target.exists()

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A transaction. Foreign errors are translated here, without their text: it may quote values."""
        try:
            if self._engine is None:
                self._engine = _opened(self.target)
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            where = "PostgreSQL" if isinstance(self.target, str) else self.target.name
            raise RolloutsUnavailable(
                f"rollouts ({where}) cannot be read or written ({type(error).__name__}); see whether the "
                "database runs and takes connections, or the disk is full or its folder not writable"
            ) from error

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


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
    """Make the tables where they are not there, and migrate an older form. Raises `RolloutsUnavailable` for
    a newer release's form."""
    with engine.begin() as connection:
        if lock is not None:
            connection.execute(text(lock))
        _metadata.create_all(connection)  # what a form adds as tables is made here
        form = connection.execute(select(_form.c.form)).scalar()
        if form is None:
            connection.execute(insert(_form).values(form=FORM))
        elif form < FORM:
            connection.execute(update(_form).values(form=FORM))
        elif form > FORM:
            raise RolloutsUnavailable(
                f"rollouts: expected form {FORM} or older, got {form}; use the release that made it"
            )
