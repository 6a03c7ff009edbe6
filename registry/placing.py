"""Puts a verified copy of a registered model where it is loaded from, whole or not at all.

`models/<name>/<version>-<digest12>/` is the copy, `models/<name>/<alias>.json` the pointer to it. The
copy is made in a temporary folder of the same file system, verified there, flushed, and moved in with
one rename; the pointer follows, also with one rename. A crash at any moment leaves the old pointer.
When `champion` moves, the version before it is placed as `previous`: where one falls back on when the
champion is revoked.
"""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from registry.errors import ModelNotFound, MoveRefused, PackageRefused, PlacingFailed, VersionRevoked
from registry.evidence_check import check_evidence
from registry.onnx_guard import check_graphs
from registry.packages import VerifiedPackage
from registry.records import NAME_PATTERN, ModelRef
from registry.settings import RegistrySettings
from registry.signing import verify_package
from registry.trust import stage_of
from registry.trust_files import keys_for, read_trust

CHAMPION, PREVIOUS = "champion", "previous"
INCOMING = ".incoming-"
ABANDONED_AFTER_S = 3600  # a download that takes longer was killed


class PackageSource(Protocol):
    """Where packages come from: `store.Registry`, or a fake of two methods."""

    def resolve(self, name: str, alias: str) -> ModelRef: ...

    def download(self, ref: ModelRef, to: Path) -> Path: ...


def place(name: str, alias: str, settings: RegistrySettings, source: PackageSource) -> ModelRef:
    """Fetch, verify and place what `alias` means now, then point to it; returns what is now placed.

    Raises what `source` raises, `PackageRefused` and `PlacingFailed`; the pointer then stays as it was.
    """
    try:
        ref = source.resolve(name, alias)
    except MoveRefused as error:
        note_refused(name, alias, settings, str(error))
        raise
    package = bring(ref, settings, source, alias)
    with _writing(ref):
        if alias == CHAMPION:
            _keep_previous(name, ref, settings)
        _point(_pointer(name, alias, settings), ref, package.key_id)
        _refusal(name, alias, settings).unlink(missing_ok=True)
    return ref


def bring(ref: ModelRef, settings: RegistrySettings, source: PackageSource, alias: str) -> VerifiedPackage:
    """A verified copy of exactly this version on this machine, for the stage of `alias`; nothing points to it
    by that. Raises like `place`."""
    target = placed_folder(ref, settings)
    with _writing(ref):
        if (held := _held(target, ref, settings, alias)) is not None:
            return held
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        with _incoming(target.parent) as scratch:
            folder = source.download(ref, scratch)
            _verified(folder, ref, settings, alias)
            _flush(folder)
            _move_in(folder, target, ref, settings, alias)
        return _verified(target, ref, settings, alias)


def placed_ref(name: str, alias: str, settings: RegistrySettings) -> ModelRef:
    """What `alias` means here: the version that its pointer names, or, when that or its signer was
    revoked, the one placed before it. A few small files are read. Raises `ModelNotFound`, `VersionRevoked`.
    """
    trust = read_trust(settings)
    ref, why = None, ""
    for candidate in (alias, PREVIOUS) if alias == CHAMPION else (alias,):
        try:
            ref, key_id = pointed(name, candidate, settings)
        except ModelNotFound:
            if why:
                break
            raise
        if (barred := trust.why_revoked(ref.digest, key_id)) is None:
            return ref
        why = why or f"'{name}@{alias}' (version {ref.version}): {barred}"
    raise VersionRevoked(f"{why}; no earlier version is placed that may serve: promote another, then sync")


def pointed(name: str, alias: str, settings: RegistrySettings) -> tuple[ModelRef, str]:
    """The version that a pointer names, revoked or not, and the key that signed it when it was placed.
    Raises `ModelNotFound`."""
    pointer = _pointer(name, alias, settings)
    advice = (
        f"run `switchyard train <usecase>` for the use case whose local model this is, or "
        f"`python -m registry.sync {name}` when MLflow has it"
    )
    try:
        raw = json.loads(pointer.read_bytes())
        ref = ModelRef(raw["name"], raw["version"], raw["digest"])
    except FileNotFoundError:
        raise ModelNotFound(f"no copy of '{name}@{alias}' is placed on this machine; {advice}") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelNotFound(f"models/{name}/{pointer.name} is not a pointer; {advice}") from error
    fits = ref.name == name and type(ref.version) is int and re.fullmatch("[0-9a-f]{64}", str(ref.digest))
    if not fits:
        raise ModelNotFound(f"models/{name}/{pointer.name} does not point to a version of '{name}'; {advice}")
    return ref, str(raw.get("key_id", ""))


def unplace(name: str, alias: str, settings: RegistrySettings) -> None:
    """Let `alias` point to nothing here; the copy stays, for other aliases may need it."""
    _pointer(name, alias, settings).unlink(missing_ok=True)


def refused_move(name: str, alias: str, settings: RegistrySettings) -> str | None:
    """Why the last look at MLflow did not follow its alias, or None."""
    try:
        return _refusal(name, alias, settings).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def placed_package(ref: ModelRef, settings: RegistrySettings, alias: str = CHAMPION) -> VerifiedPackage:
    """Verify the placed copy of `ref` anew, for the stage that `alias` asks for. Raises `PackageRefused`."""
    return _verified(placed_folder(ref, settings), ref, settings, alias)


def checked_package(folder: Path, name: str, settings: RegistrySettings, alias: str) -> VerifiedPackage:
    """Verify any copy: signed as `name`, by a key that may for this stage now, not revoked, and with
    evidence about these very files, and graphs that reach nowhere else."""
    package = verify_package(folder, keys_for(settings, stage_of(alias)), name)
    if (why := read_trust(settings).why_version_barred(package.digest)) is not None:
        got, advice = f"{package.digest}, which {why}", "promote another version"
        raise PackageRefused(f"'{name}'", "digest of all files", "a version that may serve", got, advice)
    check_evidence(package)
    check_graphs(package)
    return package


def placed_folder(ref: ModelRef, settings: RegistrySettings) -> Path:
    """Where the copy of exactly this version and these bytes lies."""
    return settings.models_dir / ref.name / f"{ref.version}-{ref.digest[:12]}"


def placed_aliases(settings: RegistrySettings) -> list[tuple[str, str]]:
    """(name, alias) of every pointer on this machine, sorted."""
    return sorted((p.parent.name, p.stem) for p in settings.models_dir.glob("*/*.json"))


def _refusal(name: str, alias: str, settings: RegistrySettings) -> Path:
    return _pointer(name, alias, settings).with_name(f".{alias}.refused")


def note_refused(name: str, alias: str, settings: RegistrySettings, why: str) -> None:
    """Tell the workers, which ask no MLflow, why they serve something else than it says."""
    note = _refusal(name, alias, settings)
    with suppress(OSError):  # a note that cannot be written must not hide the refusal itself
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(why + "\n", encoding="utf-8")


def _pointer(name: str, alias: str, settings: RegistrySettings) -> Path:
    for given in (name, alias):
        if not re.fullmatch(NAME_PATTERN, given):
            raise ModelNotFound(f"'{given}': expected a name like {NAME_PATTERN}")
    return settings.models_dir / name / f"{alias}.json"


def _verified(folder: Path, ref: ModelRef, settings: RegistrySettings, alias: str) -> VerifiedPackage:
    package = checked_package(folder, ref.name, settings, alias)
    if package.digest != ref.digest:
        raise PackageRefused(
            f"'{ref.name}' version {ref.version}",
            "digest of all files",
            ref.digest,
            f"{package.digest} (validly signed)",
        )
    return package


def _held(target: Path, ref: ModelRef, settings: RegistrySettings, alias: str) -> VerifiedPackage | None:
    """What lies there, if it is sound."""
    try:
        return _verified(target, ref, settings, alias)
    except PackageRefused:
        return None


@contextmanager
def _writing(ref: ModelRef) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PlacingFailed(
            f"'{ref.name}' version {ref.version} could not be placed: "
            f"{_why(error)}; free space or correct the rights of models/, then "
            "sync again; what was placed before serves on"
        ) from error


def _why(error: OSError) -> str:
    """In the system's words, also where several files could not be copied."""
    if isinstance(error, shutil.Error) and error.args and error.args[0]:
        return str(error.args[0][0][-1])
    return error.strerror or type(error).__name__


@contextmanager
def _incoming(parent: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(dir=parent, prefix=INCOMING))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what a killed process left: its folder is never pointed to, and only takes space."""
    for left in parent.glob(f"{INCOMING}*"):
        if time.time() - left.stat().st_mtime > ABANDONED_AFTER_S:
            shutil.rmtree(left, ignore_errors=True)


def _flush(folder: Path) -> None:
    """All bytes and names on disk before anything points to them; files read-only against accidents."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(0o444)
        _sync(path)
    _sync(folder)


def _move_in(folder: Path, target: Path, ref: ModelRef, settings: RegistrySettings, alias: str) -> None:
    for attempt in range(3):
        try:
            folder.replace(target)
            break
        except OSError:
            # Another process was first, and its copy is as good; or something spoilt lies there.
            if not target.exists() or attempt == 2:
                raise
            if _held(target, ref, settings, alias) is not None:
                return
            target.replace(folder.parent / f"refused-{attempt}")
    _sync(target.parent)


def _keep_previous(name: str, ref: ModelRef, settings: RegistrySettings) -> None:
    try:
        before, key_id = pointed(name, CHAMPION, settings)
    except ModelNotFound:
        return
    # A revoked one is nothing to fall back on, and would push out the one that is.
    if before != ref and read_trust(settings).why_revoked(before.digest, key_id) is None:
        _point(_pointer(name, PREVIOUS, settings), before, key_id)


def _point(pointer: Path, ref: ModelRef, key_id: str) -> None:
    content = {
        "name": ref.name,
        "version": ref.version,
        "digest": ref.digest,
        "key_id": key_id,
        "placed_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    descriptor, written = tempfile.mkstemp(dir=pointer.parent, prefix=INCOMING)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(written).replace(pointer)
    except BaseException:
        Path(written).unlink(missing_ok=True)
        raise
    _sync(pointer.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
