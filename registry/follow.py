"""Keeps the placed copies of one machine up to what MLflow's aliases mean, for as long as it runs.

For machines that share MLflow and not the state folder: one such process each, beside the workers, which see
what it places by themselves. MLflow is imported once (6 s, 200 MB), and asked anew every few seconds.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from registry.errors import ModelNotFound, RegistryError
from registry.placing import PackageSource, place, pointed
from registry.records import ModelRef, RegisteredVersion
from registry.revocations import take_over
from registry.settings import RegistrySettings

Tell = Callable[[str], None]


class Followed(PackageSource, Protocol):
    """`store.Registry`, or a fake of three methods."""

    def list_models(self) -> list[RegisteredVersion]: ...


class Follower:
    """Says what was placed, and each problem once until it is another one."""

    def __init__(
        self, names: Sequence[str], alias: str, settings: RegistrySettings, source: Followed, tell: Tell
    ) -> None:
        self._names = names
        self._alias = alias
        self._settings = settings
        self._source = source
        self._tell = tell
        self._problems: dict[str, str] = {}

    def look(self) -> None:
        """Keep what was revoked and place what moved since. A failure leaves what was placed before, and the
        next look tries again."""
        self._try("revocations", self._revoked)
        for name in self._names:
            self._try(f"{name}@{self._alias}", partial(self._look, name))

    def run(self, every_s: float, stop: threading.Event) -> None:
        """Look until told to stop."""
        self.look()
        while not stop.wait(every_s):
            self.look()

    def _try(self, what: str, step: Callable[[], None]) -> None:
        try:
            step()
            self._problems.pop(what, None)
        except RegistryError as error:
            if self._problems.get(what) != str(error):
                self._tell(f"{what}: {error}")
            self._problems[what] = str(error)

    def _revoked(self) -> None:
        for sentence in take_over(self._settings, self._source.list_models()):
            self._tell(sentence)

    def _look(self, name: str) -> None:
        if self._problems.get(f"{name}@{self._alias}") is None and self._source.resolve(
            name, self._alias
        ) == self._here(name):
            return
        ref = place(name, self._alias, self._settings, self._source)
        self._tell(f"{name}@{self._alias}: version {ref.version} is placed ({ref.digest[:12]})")

    def _here(self, name: str) -> ModelRef | None:
        with suppress(ModelNotFound):
            return pointed(name, self._alias, self._settings)[0]
        return None
