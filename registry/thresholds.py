"""Thresholds that were raised above the calibrated one, for cost or quality. Every change is kept.

A change belongs to one model, by its digest: another model serves with its own calibrated threshold. Workers
read changes with the rollouts and never go below the calibrated threshold, whatever stands here.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from registry.rollout_database import THRESHOLDS, RolloutDatabase
from registry.rollout_errors import RolloutRefused


class Change(BaseModel):
    """One change: the threshold from now on, when (seconds since 1970), by whom, why, and the figures that
    decided. `threshold` 0: the calibrated one alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    use_case: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    model: str = Field(pattern=r"^[0-9a-f]{64}$")
    threshold: float = Field(ge=0, le=1, allow_inf_nan=False)
    at_s: float
    by: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=500)
    figures: Mapping[str, float] = Field(default_factory=dict)


class Thresholds:
    """Methods raise `RolloutsUnavailable`."""

    def __init__(self, database: RolloutDatabase) -> None:
        self._database = database

    def change(self, change: Change, after: int) -> None:
        """Keep it as change number `after + 1`. Raises `RolloutRefused` when somebody changed it since."""
        row = {"use_case": change.use_case, "number": after + 1, "value": change.model_dump_json()}
        try:
            with self._database.connected() as connection:
                connection.execute(insert(THRESHOLDS).values(row))
        except IntegrityError:
            raise RolloutRefused(
                f"threshold of {change.use_case}: expected change {after} to be the last, but another came "
                "in between; look again with `switchyard thresholds show`"
            ) from None

    def history(self, use_case: str) -> list[Change]:
        """All changes, oldest first: change number n is at place n - 1."""
        query = select(THRESHOLDS.c.value).where(THRESHOLDS.c.use_case == use_case)
        with self._database.connected() as connection:
            rows = connection.execute(query.order_by(THRESHOLDS.c.number))
            return [Change.model_validate_json(value) for (value,) in rows]

    def last(self) -> dict[str, Change]:
        """The change that holds, by use case."""
        newest = select(THRESHOLDS.c.use_case, func.max(THRESHOLDS.c.number).label("number"))
        of = newest.group_by(THRESHOLDS.c.use_case).subquery()
        both = (THRESHOLDS.c.use_case == of.c.use_case) & (THRESHOLDS.c.number == of.c.number)
        with self._database.connected() as connection:
            rows = connection.execute(select(THRESHOLDS.c.value).join(of, both))
            changes = [Change.model_validate_json(value) for (value,) in rows]
        return {change.use_case: change for change in changes}
