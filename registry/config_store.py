"""Signed copies of configurations, kept beside the rollouts that serve them, where every machine gets them.

Immutable: a version is kept once, and another content under its name is refused.
"""

import json

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from registry.errors import ConfigRefused
from registry.rollout_database import CONFIGS, RolloutDatabase


class Configs:
    """Methods raise `RolloutsUnavailable`."""

    def __init__(self, database: RolloutDatabase) -> None:
        self._database = database

    def keep(self, use_case: str, version: str, sealed: str) -> None:
        """Keep one; again is nothing new. Raises `ConfigRefused` for another content of the same name."""
        row = {"use_case": use_case, "version": version, "value": sealed}
        try:
            with self._database.connected() as connection:
                connection.execute(insert(CONFIGS).values(row))
        except IntegrityError:
            kept = self.get(use_case, version)
            if json.loads(kept)["files"] != json.loads(sealed)["files"]:
                raise ConfigRefused(
                    f"configuration {version} of '{use_case}' is kept already with another content; change "
                    "any file, so that it gets a name of its own"
                ) from None

    def get(self, use_case: str, version: str) -> str:
        """The sealed copy. Raises `ConfigRefused` where there is none."""
        of = (CONFIGS.c.use_case == use_case) & (CONFIGS.c.version == version)
        with self._database.connected() as connection:
            found = connection.execute(select(CONFIGS.c.value).where(of)).scalar()
        if found is None:
            raise ConfigRefused(
                f"configuration {version} of '{use_case}': no signed copy is kept; give its folder: "
                f"`switchyard rollout start {use_case}/config --candidate-folder …`"
            )
        return str(found)

    def versions(self, use_case: str) -> list[str]:
        """Those that are kept, by name."""
        of = CONFIGS.c.use_case == use_case
        with self._database.connected() as connection:
            return sorted(v for (v,) in connection.execute(select(CONFIGS.c.version).where(of)))
