"""The local models of this process: verified copies placed on this machine, followed as they change.

Training or `python -m registry.sync` moves a pointer file; `refresh` sees it, verifies and loads the
new copy, and swaps it in between two requests. What cannot be loaded leaves what served before.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Protocol

from registry.errors import RegistryError
from registry.loading import LoadedModel, load_placed, placed_ref
from registry.records import ModelRef
from registry.settings import RegistrySettings
from services.targets.local import InProcessModel

log = logging.getLogger(__name__)

ALIAS = "champion"


class Placed(Protocol):
    """Where placed models come from; tests hand in a fake."""

    def ref(self, name: str) -> ModelRef: ...

    def load(self, name: str) -> LoadedModel: ...


class PlacedOnDisk:
    """The placed copies under `{home}/models`. Needs neither MLflow nor a network."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings

    def ref(self, name: str) -> ModelRef:
        return placed_ref(name, ALIAS, self._settings)

    def load(self, name: str) -> LoadedModel:
        return load_placed(name, ALIAS, self._settings)


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
        """Load what is newly placed. True when a model is there that was not. May take a second."""
        appeared = False
        with self._turn:
            for name in self._names:
                appeared |= self._refresh_one(name)
        return appeared

    def _refresh_one(self, name: str) -> bool:
        held = self._models.get(name)
        try:
            if held is not None and self._placed.ref(name).digest == held.loaded.ref.digest:
                self._problems.pop(name, None)
                return False
            loaded = self._placed.load(name)
        except RegistryError as error:
            if self._problems.get(name) != str(error):
                log.warning("local model '%s': %s", name, error)
            self._problems[name] = str(error)
            return False
        self._problems.pop(name, None)
        log.info("local model '%s' version %s is loaded", name, loaded.ref.version)
        if held is not None:
            held.loaded = loaded
            return False
        self._models[name] = InProcessModel(loaded)
        return True
