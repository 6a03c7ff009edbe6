"""What an alias or a version means, read from MLflow's own database without importing MLflow (6 s, 200 MB).

Read-only, and held to the same promotions as `store.Registry`, which is asked instead where MLflow is a
server, or its tables are not those that are known here. Files are always fetched by that.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from registry.errors import ModelNotFound, RegistryUnavailable
from registry.mlflow_answers import nothing_yet, ref_of
from registry.moves import check_move, tag_of
from registry.reach import Ask, asking, check_reachable, is_server, sqlite_file
from registry.records import ModelRef
from registry.settings import RegistrySettings

DELETED = "Deleted_Internal"  # MLflow's mark of a version that was deleted


class QuickReads:
    """`resolve`, `version`, `newest` and `download` of the registry, for commands that should not wait."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._uri = settings.tracking_uri
        self._slow: Any = None

    def resolve(self, name: str, alias: str) -> ModelRef:
        """The version that `alias` means, as a signed promotion says. Raises as the registry does."""
        return self._read(lambda ask: self._resolved(ask, name, alias), lambda r: r.resolve(name, alias))

    def version(self, name: str, number: int) -> ModelRef:
        """One version by its number. Raises `ModelNotFound`."""
        return self._read(lambda ask: _version(ask, name, number)[0], lambda r: r.version(name, number))

    def newest(self, name: str) -> ModelRef:
        """The version that was registered last. Raises `ModelNotFound`."""

        def look(ask: Ask) -> ModelRef:
            rows = ask(
                "SELECT max(version) FROM model_versions WHERE name = :name AND current_stage <> :deleted",
                {"name": name, "deleted": DELETED},
            )
            if rows[0][0] is None:
                raise ModelNotFound(nothing_yet(name))
            return _version(ask, name, int(rows[0][0]))[0]

        return self._read(look, lambda r: r.newest(name))

    def download(self, ref: ModelRef, to: Path) -> Path:
        """As the registry does."""
        return Path(self._registry().download(ref, to))

    def _resolved(self, ask: Ask, name: str, alias: str) -> ModelRef:
        rows = ask(
            "SELECT version FROM registered_model_aliases WHERE name = :name AND alias = :alias",
            {"name": name, "alias": alias},
        )
        if not rows:
            raise ModelNotFound(f"model '{name}' has no alias '{alias}'; see `switchyard registry list`")
        ref, tags = _version(ask, name, int(rows[0][0]))
        check_move(tags.get(tag_of(alias)), ref, alias, self._settings)
        return ref

    def _read(self, look: Callable[[Ask], ModelRef], slowly: Callable[[Any], ModelRef]) -> ModelRef:
        if is_server(self._uri):
            return slowly(self._registry())
        if (file := sqlite_file(self._uri)) is not None and not file.exists():
            raise ModelNotFound("nothing is registered yet; run `switchyard train <usecase>`")
        check_reachable(self._uri)
        try:
            with asking(self._uri) as ask:
                return look(ask)
        except RegistryUnavailable:  # tables of another MLflow: it reads its own
            return slowly(self._registry())

    def _registry(self) -> Any:
        if self._slow is None:
            from registry.store import Registry

            self._slow = Registry(self._settings)
        return self._slow


def _version(ask: Ask, name: str, number: int) -> tuple[ModelRef, dict[str, str]]:
    """A version and its tags."""
    known = ask(
        "SELECT 1 FROM model_versions "
        "WHERE name = :name AND version = :version AND current_stage <> :deleted",
        {"name": name, "version": number, "deleted": DELETED},
    )
    if not known:
        raise ModelNotFound(f"'{name}' has no version {number}; see `switchyard registry list`")
    rows = ask(
        "SELECT key, value FROM model_version_tags WHERE name = :name AND version = :version",
        {"name": name, "version": number},
    )
    tags = {str(key): str(value) for key, value in rows}
    return ref_of(SimpleNamespace(name=name, version=number, tags=tags), name, number), tags
