"""Rollouts and their records: one that lives per component; the first move wins.

A move is written with its record, all or nothing, and only onto the revision that it was decided on. So
any number of controllers may run, and one that dies leaves the rollout before its move or after it.
"""

from pathlib import Path

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from registry.rollout import Record, Rollout, State
from registry.rollout_database import RECORDS, ROLLOUTS, RolloutDatabase, RolloutSettings
from registry.rollout_errors import RolloutNotFound, RolloutRaced, RolloutRefused

__all__ = ["RolloutSettings", "Rollouts"]


class Rollouts:
    """Opens nothing until the first use; closed by `with`. Methods raise `RolloutsUnavailable`."""

    def __init__(self, target: Path | str) -> None:
        self.database = RolloutDatabase(target)

    def start(self, rollout: Rollout, record: Record) -> None:
        """Keep a new one. Raises `RolloutRefused` where the component has one that lives."""
        try:
            with self.database.connected() as connection:
                last = connection.execute(
                    select(ROLLOUTS.c.started).order_by(ROLLOUTS.c.started.desc())
                ).scalar()
                row = _row(rollout) | {
                    "id": rollout.id,
                    "component": rollout.component,
                    "started": (last or 0) + 1,
                }
                connection.execute(insert(ROLLOUTS).values(row))
                self._note(connection, rollout, record)
        except IntegrityError:
            raise RolloutRefused(
                f"rollout of {rollout.component} not started: it has one already; "
                f"see `switchyard rollout status {rollout.component}`, and abort or promote that first"
            ) from None

    def save(self, before: Rollout, after: Rollout, record: Record) -> None:
        """One move, from the revision that it was decided on. Raises `RolloutRaced`."""
        with self.database.connected() as connection:
            still = (ROLLOUTS.c.id == before.id) & (ROLLOUTS.c.revision == before.revision)
            if connection.execute(update(ROLLOUTS).where(still).values(_row(after))).rowcount != 1:
                raise RolloutRaced(f"the rollout of {before.component} was moved meanwhile; read it anew")
            self._note(connection, after, record)

    def live(self) -> list[Rollout]:
        """All that have not ended, by component."""
        query = select(ROLLOUTS.c.value).where(ROLLOUTS.c.live.is_not(None)).order_by(ROLLOUTS.c.component)
        with self.database.connected() as connection:
            return [Rollout.model_validate_json(value) for (value,) in connection.execute(query)]

    def newest(self, count: int) -> list[Rollout]:
        """The last ones that were started, of all components, newest first."""
        query = select(ROLLOUTS.c.value).order_by(ROLLOUTS.c.started.desc()).limit(count)
        with self.database.connected() as connection:
            return [Rollout.model_validate_json(value) for (value,) in connection.execute(query)]

    def served(self) -> list[Rollout]:
        """What workers need: all that live, and each component's last one where that was promoted."""
        newest = select(func.max(ROLLOUTS.c.started)).group_by(ROLLOUTS.c.component)
        wanted = ROLLOUTS.c.live.is_not(None) | ROLLOUTS.c.started.in_(newest)
        query = select(ROLLOUTS.c.value).where(wanted).order_by(ROLLOUTS.c.component)
        with self.database.connected() as connection:
            found = [Rollout.model_validate_json(value) for (value,) in connection.execute(query)]
        return [rollout for rollout in found if not rollout.ended or rollout.state is State.PROMOTED]

    def latest(self, component: str) -> Rollout:
        """The component's last one, whether it lives or has ended. Raises `RolloutNotFound`."""
        query = select(ROLLOUTS.c.value).where(ROLLOUTS.c.component == component)
        with self.database.connected() as connection:
            value = connection.execute(query.order_by(ROLLOUTS.c.started.desc()).limit(1)).scalar()
        if value is None:
            raise RolloutNotFound("this component has no rollout; see `switchyard rollout start --help`")
        return Rollout.model_validate_json(value)

    def records(self, rollout_id: str) -> list[Record]:
        """All moves of one rollout, in order."""
        query = select(RECORDS.c.value).where(RECORDS.c.rollout == rollout_id).order_by(RECORDS.c.revision)
        with self.database.connected() as connection:
            return [Record.model_validate_json(value) for (value,) in connection.execute(query)]

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> "Rollouts":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note(self, connection: Connection, rollout: Rollout, record: Record) -> None:
        value = record.model_dump_json()
        row = {"rollout": rollout.id, "revision": record.revision, "value": value}
        connection.execute(insert(RECORDS).values(row))


def _row(rollout: Rollout) -> dict[str, object]:
    live = None if rollout.ended else rollout.component
    return {"live": live, "revision": rollout.revision, "value": rollout.model_dump_json()}
