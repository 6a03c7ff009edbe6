"""Kill switches: what must not be asked, or not be tried on anybody, from now on. Every turn is kept.

`target:<use case>/<target>` takes a target out of every plan (`*` for all use cases); `rollout:<component>`
sends everybody to stable. Workers read them with the rollouts, so they hold within two seconds.
"""

import re

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, insert, select

from registry.rollout_database import SWITCHES, RolloutDatabase
from registry.rollout_errors import RolloutRefused

NAME = re.compile(
    r"(?:target:(?:\*|[a-z][a-z0-9_-]{0,63})|rollout:[a-z][a-z0-9_-]{0,63})/[a-z][a-z0-9_/-]{0,63}"
)
LAST_RUNG = "safe_default"


class Turn(BaseModel):
    """One turn of a switch: killed or restored, when (seconds since 1970), by whom and why."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    killed: bool
    at_s: float
    by: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=500)


class Switches:
    """Methods raise `RolloutsUnavailable`."""

    def __init__(self, database: RolloutDatabase) -> None:
        self._database = database

    def turn(self, turn: Turn) -> None:
        """Keep it; it holds until the next. Raises `RolloutRefused` for a name that no switch can have."""
        if not NAME.fullmatch(turn.name) or turn.name.endswith(f"/{LAST_RUNG}"):
            raise RolloutRefused(
                "switch: expected target:<use case>/<target> (`*` for all use cases, and not the last rung "
                f"{LAST_RUNG}) or rollout:<use case>/<component>"
            )
        with self._database.connected() as connection:
            of = SWITCHES.c.name == turn.name
            last = connection.execute(select(func.max(SWITCHES.c.number)).where(of)).scalar()
            row = {"name": turn.name, "number": (last or 0) + 1, "value": turn.model_dump_json()}
            connection.execute(insert(SWITCHES).values(row))

    def last(self) -> dict[str, Turn]:
        """The turn that holds, of each switch that was ever used."""
        newest = select(SWITCHES.c.name, func.max(SWITCHES.c.number).label("number"))
        of = newest.group_by(SWITCHES.c.name).subquery()
        both = (SWITCHES.c.name == of.c.name) & (SWITCHES.c.number == of.c.number)
        with self._database.connected() as connection:
            rows = connection.execute(select(SWITCHES.c.value).join(of, both).order_by(SWITCHES.c.name))
            turns = [Turn.model_validate_json(value) for (value,) in rows]
        return {turn.name: turn for turn in turns}

    def killed(self) -> frozenset[str]:
        """The names of those that are killed now."""
        return frozenset(name for name, turn in self.last().items() if turn.killed)
