"""Verifies anew every copy behind an alias: those that MLflow stores, and those placed on this machine."""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from registry.errors import ModelNotFound, MoveRefused, RegistryError, RegistryUnavailable
from registry.log import read_log
from registry.moves import moved, seen
from registry.packages import VerifiedPackage
from registry.placing import PREVIOUS, checked_package, placed_aliases, placed_package, placed_ref, pointed
from registry.records import ModelRef, RegisteredVersion
from registry.settings import RegistrySettings


class Store(Protocol):
    """What of `store.Registry` is needed here."""

    def list_models(self) -> list[RegisteredVersion]: ...

    def download(self, ref: ModelRef, to: Path) -> Path: ...


@dataclass(frozen=True, slots=True)
class CopyCheck:
    """One copy's verdict. `error` is None when its bytes are what a trusted key signed."""

    name: str
    alias: str
    where: Literal["mlflow", "placed"]
    version: int | None
    digest: str | None
    key_id: str | None
    error: str | None
    note: str = ""


def check_copies(asked: str | None, settings: RegistrySettings, store: Store) -> list[CopyCheck]:
    """Verdicts by name, alias and place. `asked` is a registered model's or a use case's name, or all.

    Raises `ModelNotFound` when nothing bears that name. An unreachable MLflow is a failed verdict of
    its own, and the placed copies are checked all the same.
    """
    checks: list[CopyCheck] = []
    try:
        versions = store.list_models()
    except RegistryUnavailable as error:
        versions = []
        checks.append(CopyCheck(asked or "(all)", "(all)", "mlflow", None, None, None, str(error)))
    names = _names(asked, versions)
    stored = {
        (version.ref.name, alias): version.ref
        for version in versions
        for alias in version.aliases
        if names is None or version.ref.name in names
    }
    placed = [pair for pair in placed_aliases(settings) if names is None or pair[0] in names]
    if not stored and not placed:
        what = f"no model or use case '{asked}' has" if asked else "no model has"
        failed = f"; {checks[0].error}" if checks else ""
        raise ModelNotFound(
            f"{what} an alias here or in MLflow; see `switchyard registry list`, or train one: "
            f"`switchyard train <usecase>`{failed}"
        )
    checks += [_stored(name, alias, ref, settings, store) for (name, alias), ref in stored.items()]
    checks += [_placed(name, alias, settings, stored.get((name, alias))) for name, alias in placed]
    return sorted(checks, key=lambda check: (check.name, check.alias, check.where))


def _names(asked: str | None, versions: Iterable[RegisteredVersion]) -> set[str] | None:
    if asked is None:
        return None
    return {version.ref.name for version in versions if version.use_case == asked} | {asked}


def _stored(name: str, alias: str, ref: ModelRef, settings: RegistrySettings, store: Store) -> CopyCheck:
    def verified() -> VerifiedPackage:
        with tempfile.TemporaryDirectory(prefix="switchyard-verify-") as scratch:
            folder = store.download(ref, Path(scratch))
            return checked_package(folder, name, settings, alias)

    return _check(name, alias, "mlflow", ref, verified)


def _placed(name: str, alias: str, settings: RegistrySettings, stored: ModelRef | None) -> CopyCheck:
    try:
        ref = placed_ref(name, alias, settings)
    except RegistryError as error:
        return CopyCheck(name, alias, "placed", None, None, None, str(error))
    note = ""
    if stored is not None and stored != ref:
        note = f"MLflow has version {stored.version}: `python -m registry.sync {name} --alias {alias}`"

    def verified() -> VerifiedPackage:
        _check_pointer(name, alias, settings)
        return placed_package(ref, settings, alias)

    return _check(name, alias, "placed", ref, verified, note)


def _check_pointer(name: str, alias: str, settings: RegistrySettings) -> None:
    """Raises `MoveRefused` where the signed log of this home lets `alias` mean another version than the
    pointer, which nobody signed, and no newer move came from elsewhere. `previous` may be older than the log
    says."""
    moves = [e for e in read_log(settings) if (m := moved(e, alias)) and m.get("name") == name]
    if alias == PREVIOUS or not moves or seen(name, alias, settings) > moves[-1].at:
        return
    said, here = moves[-1].body, pointed(name, alias, settings)[0]
    if (said.get("version"), said.get("digest")) != (here.version, here.digest):
        raise MoveRefused(
            f"'{name}@{alias}' points to version {here.version} here, and the signed log lets it mean "
            f"{said.get('version') or 'none'}: the pointer was changed by hand, or a promotion broke off; "
            f"run `python -m registry.sync {name} --alias {alias}`"
        )


def _check(
    name: str,
    alias: str,
    where: Literal["mlflow", "placed"],
    ref: ModelRef,
    verified: Callable[[], VerifiedPackage],
    note: str = "",
) -> CopyCheck:
    key_id, error = None, None
    try:
        package = verified()
        key_id = package.key_id
        if package.digest != ref.digest:
            error = f"expected digest {ref.digest}, got {package.digest} (validly signed)"
    except RegistryError as refused:
        error = str(refused)
    return CopyCheck(name, alias, where, ref.version, ref.digest, key_id, error, note)
