"""Snapshots under DVC: `dvc add` by `curate` itself, and nothing left in DVC's cache when retention ends.

The `.dvc` file beside a snapshot's folder names its content; `dvc push` takes it to whatever remote a team
has, `dvc checkout` brings it back. DVC's hashes are for finding content: what it is worth says
`snapshot.json`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

_TIMEOUT_S = 300


def add_version(folder: Path) -> dict[str, str]:
    """Put a snapshot's folder under DVC; again, it changes nothing. `version` names the content, or
    `unversioned` says why there is none: the snapshot is whole without it."""
    project = _project(folder)
    if project is None:
        return {"unversioned": "no DVC project here; `dvc init --no-scm` makes one, then curate again"}
    beside = os.path.relpath(folder.absolute(), project)
    command = [sys.executable, "-m", "dvc", "add", "--quiet", beside]
    try:
        subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or type(error).__name__
        return {"unversioned": f"`dvc add {beside}` failed: {str(told).strip()[-300:]}"}
    return {"version": _content(_note(folder)), "dvc": str(_note(folder))}


def forget_version(folder: Path) -> None:
    """Remove what DVC holds of a snapshot that is gone: its `.dvc` file, and content that no other has."""
    note, project = _note(folder), _project(folder)
    if project is None or not note.is_file():
        return
    mine = _objects(note, project)  # what lists the others comes last: killed anywhere, the next run finishes
    others = [other for other in folder.parent.glob("*.dvc") if other != note]
    kept = {held for other in others for held in _objects(other, project)}
    for held in mine:
        if held not in kept:
            held.unlink(missing_ok=True)
    note.unlink()


def _note(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.dvc")


def _project(folder: Path) -> Path | None:
    """The DVC project that a folder lies in."""
    return next((above for above in folder.absolute().parents if (above / ".dvc").is_dir()), None)


def _content(note: Path) -> str:
    read: Any = yaml.safe_load(note.read_text(encoding="utf-8"))
    return str(read["outs"][0]["md5"])


def _objects(note: Path, project: Path) -> list[Path]:
    """Files of the cache that hold the content that `note` names; last the one that lists them."""
    cache = project / ".dvc" / "cache" / "files" / "md5"
    try:
        listed = _place(cache, _content(note))
        inside: list[dict[str, str]] = json.loads(listed.read_text(encoding="utf-8"))
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [*(_place(cache, one["md5"]) for one in inside), listed]


def _place(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]
