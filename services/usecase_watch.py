"""Sees changes in the use-case folders and takes up what is valid; what is not is refused, and the old stays.

An edit touches several files one after another, so a folder is read only once it has held still from one
look to the next. What was read from it counts only if it did not change meanwhile.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from feature_checks.errors import UseCaseError
from feature_checks.folders import shaping_files
from feature_checks.usecase import list_usecases
from services.errors import ConfigError

log = logging.getLogger(__name__)

T = TypeVar("T")
Mark = frozenset[tuple[str, int, int, int]]
"""(path, time of change in ns, size, inode) of each file that shapes behaviour: cheap, and never equal after
a change."""


class UseCaseWatch(Generic[T]):
    """`current` holds what `build(name)` made of each folder's last valid content; `refused` says of each
    folder whose newest content was not valid what is wrong. Not safe for two threads at once."""

    def __init__(self, folder: Path, build: Callable[[str], T]) -> None:
        """Build all. Raises what `build` raises for the first that is wrong: there is no older one yet."""
        self._folder = folder
        self._build = build
        self._taken = self._marks()
        self._seen: Mapping[str, Mark] = self._taken.copy()
        self.current: dict[str, T] = {name: build(name) for name in self._taken}
        self.refused: dict[str, str] = {}

    def look(self) -> bool:
        """Take up what changed. True when `current` is another one now."""
        found, seen = self._marks(), self._seen
        self._seen = found
        still = {name: mark for name, mark in found.items() if seen.get(name) == mark}
        changed = [self._take(name, mark) for name, mark in still.items() if self._taken.get(name) != mark]
        gone = [name for name in self.current if name not in found and name not in seen]
        return any([*changed, *(self._drop(name, nothing_left=not found) for name in gone)])

    def _take(self, name: str, mark: Mark) -> bool:
        self._taken[name] = mark
        try:
            built = self._build(name)
        except (UseCaseError, ConfigError) as error:
            self._refuse(name, str(error))
            return False
        if _mark(self._folder / name) != mark:
            del self._taken[name]  # it changed while it was read: the next looks decide
            return False
        self.current = {**self.current, name: built}
        self.refused.pop(name, None)
        log.info("use case '%s': its changed folder is served now", name)
        return True

    def _drop(self, name: str, nothing_left: bool) -> bool:
        """A use case goes when its folder goes. A folder that lost a part, or all folders at once (an
        unmounted disk, rather than a wish), do not count as that."""
        if nothing_left or (self._folder / name).exists():
            self._refuse(name, f"{name}/usecase.yaml is gone")
            return False
        self.current = {other: built for other, built in self.current.items() if other != name}
        self._taken.pop(name, None)
        self.refused.pop(name, None)
        log.info("use case '%s': its folder is gone, it is served no more", name)
        return True

    def _refuse(self, name: str, why: str) -> None:
        if self.refused.get(name) != why:
            log.error("use case '%s': a change was refused, what served before goes on: %s", name, why)
        self.refused[name] = why

    def _marks(self) -> dict[str, Mark]:
        return {name: _mark(self._folder / name) for name in list_usecases(self._folder)}


def _mark(root: Path) -> Mark:
    found = set()
    for file in shaping_files(root):
        try:
            stat = file.stat()
        except OSError:
            continue  # it went in this moment: the next look sees the folder without it
        found.add((file.relative_to(root).as_posix(), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return frozenset(found)
