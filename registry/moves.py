"""Does a signed promotion vouch for what an alias means? Access to MLflow moves an alias; it proves nothing.

The line of the log of promotions that moved an alias lies as a tag at the version that it moved to, so that
a machine with the public keys alone can check it. Besides, an older line than the newest one accepted here is
refused: who can write MLflow cannot bring back what once led either. `{home}/models/<name>/.<alias>.moved`
holds that newest time.
"""

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from registry.errors import LogBroken, MoveOvertaken, MoveRefused
from registry.log import LogEntry, read_line, read_log
from registry.records import ModelRef
from registry.settings import RegistrySettings
from registry.trust import stage_of
from registry.trust_files import keys_for

CHAMPION, PREVIOUS = "champion", "previous"
MOVES = frozenset({"promotion", "override", "withdrawal"})
"""Kinds of entries that move an alias; a withdrawal lets it mean nothing."""


def tag_of(alias: str) -> str:
    """The tag of a version that holds the line which let `alias` mean it."""
    return f"move.{alias}"


def moved(entry: LogEntry, alias: str) -> Mapping[str, Any] | None:
    """What this entry lets `alias` mean ({name, version, digest}), or None when it moves another or none.

    Who moves `champion` moves `previous` to the version that led before, by the same signature.
    """
    body = entry.body
    if entry.kind not in MOVES:
        return None
    if body.get("alias") == alias:
        return body
    before = body.get("before")
    if alias == PREVIOUS and body.get("alias") == CHAMPION and isinstance(before, dict):
        return before
    return None


def check_move(line: str | None, ref: ModelRef, alias: str, settings: RegistrySettings) -> None:
    """Return when a signed move says that `alias` means `ref`, and none that is newer says otherwise.

    `line` is what MLflow has. Raises `MoveRefused`, `LogBroken`.
    """
    kept = [e for e in read_log(settings) if (m := moved(e, alias)) and m.get("name") == ref.name]
    newest = max([seen(ref.name, alias, settings), *(entry.at for entry in kept)])
    for entry in (*kept[-1:], *_given(line, ref, alias, settings)):
        said = moved(entry, alias)
        if said is None or (said.get("name"), said.get("version"), said.get("digest")) != (
            ref.name, ref.version, ref.digest,
        ):  # fmt: skip
            continue
        if entry.at < newest:
            older = f"the promotion of {entry.at} is older than that of {newest}"
            raise MoveOvertaken(str(_refused(ref, alias, older)))
        _check_key(entry, ref, alias, settings)
        _see(ref.name, alias, entry.at, settings)
        return
    raise _refused(ref, alias, "no signed promotion says so")


def _given(line: str | None, ref: ModelRef, alias: str, settings: RegistrySettings) -> list[LogEntry]:
    if not line:
        return []
    try:
        return [read_line(line.encode(), settings)]
    except LogBroken:
        raise _refused(ref, alias, "its promotion was altered, or is signed by no key known here") from None


def _check_key(entry: LogEntry, ref: ModelRef, alias: str, settings: RegistrySettings) -> None:
    keys = {key.key_id: key.barred for key in keys_for(settings, stage_of(alias))}
    if barred := keys.get(entry.key_id, "is not known"):
        raise _refused(ref, alias, f"the key {entry.key_id} that signed the promotion {barred}")


def _refused(ref: ModelRef, alias: str, why: str) -> MoveRefused:
    return MoveRefused(
        f"'{ref.name}@{alias}' means version {ref.version} in MLflow, and {why}: it is not followed, what "
        "was promoted before goes on serving; run `switchyard registry promote`, or move the alias back"
    )


def _file(name: str, alias: str, settings: RegistrySettings) -> Path:
    return settings.models_dir / name / f".{alias}.moved"


def seen(name: str, alias: str, settings: RegistrySettings) -> str:
    """The time of the newest move that was accepted here, as the log writes times; '' when there was none."""
    with suppress(OSError, UnicodeDecodeError):
        return _file(name, alias, settings).read_text(encoding="ascii").strip()
    return ""


def _see(name: str, alias: str, at: str, settings: RegistrySettings) -> None:
    if at == seen(name, alias, settings):
        return
    file = _file(name, alias, settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, written = tempfile.mkstemp(dir=file.parent, prefix=".moved-")
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(at)
        out.flush()
        os.fsync(out.fileno())
    Path(written).replace(file)
