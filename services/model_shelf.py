"""The local models of this process: verified copies placed on this machine, followed as they change.

Training or `python -m registry.sync` moves a pointer file; `refresh` sees it, verifies and loads the
new copy, and swaps it in between two requests. What cannot be loaded leaves what served before, unless
that was revoked: then the version before it serves, or none.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Protocol

from registry.errors import RegistryError
from registry.loading import LoadedModel, is_revoked, load_placed, placed_ref, refused_move
from registry.records import ModelRef
from registry.settings import RegistrySettings
from services.targets.local import InProcessModel

log = logging.getLogger(__name__)

ALIAS = "champion"


class Placed(Protocol):
    """Where placed models come from; tests hand in a fake."""

    def ref(self, name: str) -> ModelRef: ...

    def load(self, name: str) -> LoadedModel: ...

    def revoked(self, loaded: LoadedModel) -> bool: ...

    def refused(self, name: str) -> str | None: ...


class PlacedOnDisk:
    """The placed copies under `{home}/models`. Needs neither MLflow nor a network."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings

    def ref(self, name: str) -> ModelRef:
        return placed_ref(name, ALIAS, self._settings)

    def load(self, name: str) -> LoadedModel:
        return load_placed(name, ALIAS, self._settings)

    def revoked(self, loaded: LoadedModel) -> bool:
        return is_revoked(loaded, self._settings)

    def refused(self, name: str) -> str | None:
        """Why MLflow's alias is not followed: nothing that is signed vouches for it."""
        return refused_move(name, ALIAS, self._settings)


class ModelShelf:
    """Models by name. `problems` says of each that is missing or not the newest why, and what to do."""

    def __init__(self, names: Iterable[str], placed: Placed) -> None:
        self._names = tuple(sorted(set(names)))
        self._placed = placed
        self._models: dict[str, InProcessModel] = {}
        self._problems: dict[str, str] = {}
        self._turn = threading.Lock()

    @property
    def problems(self) -> Mapping[str, str]:
        return dict(self._problems)

    def get(self, name: str) -> InProcessModel | None:
        return self._models.get(name)

    def follow(self, names: Iterable[str]) -> bool:
        """Look after these models, too. True when one of them is new here."""
        more = {*self._names, *names}
        grown, self._names = len(more) > len(self._names), tuple(sorted(more))
        return grown

    def refresh(self) -> bool:
        """Load what is newly placed. True when a model came, or a revoked one went. May take a second."""
        changed = False
        with self._turn:
            for name in self._names:
                changed |= self._refresh_one(name)
        return changed

    def _refresh_one(self, name: str) -> bool:
        held = self._models.get(name)
        try:
            # Its signer is asked of the model itself: the pointer says so too, but nobody signed that.
            same = held is not None and self._placed.ref(name).digest == held.loaded.ref.digest
            if held is not None and same and not self._placed.revoked(held.loaded):
                self._note(name, self._placed.refused(name))
                return False
            loaded = self._placed.load(name)
        except RegistryError as error:
            self._note(name, "; ".join(filter(None, (str(error), self._placed.refused(name)))))
            return held is not None and self._withdraw(name, held)
        self._note(name, self._placed.refused(name))
        log.info("local model '%s' version %s is loaded", name, loaded.ref.version)
        if held is not None:
            held.loaded = loaded
            return False
        self._models[name] = InProcessModel(loaded)
        return True

    def _note(self, name: str, problem: str | None) -> None:
        """Keep what is wrong, and say it once."""
        if problem is None:
            self._problems.pop(name, None)
        elif self._problems.get(name) != problem:
            log.warning("local model '%s': %s", name, problem)
            self._problems[name] = problem

    def _withdraw(self, name: str, held: InProcessModel) -> bool:
        """Nothing else could be loaded; stop serving what is held if it was revoked."""
        if not self._placed.revoked(held.loaded):
            return False
        del self._models[name]
        log.error("local model '%s' version %s was revoked: it serves no more", name, held.loaded.ref.version)
        return True
