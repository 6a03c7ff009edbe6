"""What lies in a package folder: every regular file and its SHA-256, and nothing else may be there."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from registry.errors import PackageRefused
from registry.packages import SIGNATURE

MAX_FILES = 1000
# Data only. No pickle, no archive, no code: what is not on this list cannot become part of a model.
SUFFIXES = frozenset(
    {".json", ".jsonl", ".onnx", ".md", ".txt", ".csv", ".npy", ".npz", ".safetensors", ".svg", ".png"}
)
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}){0,7}")


def hash_files(folder: Path, shown: str) -> dict[str, str]:
    """Name -> SHA-256 in hex of each file under `folder` except the signature at its top.

    This, and never the signature, decides what is left out. `shown` names the package in errors.
    Raises `PackageRefused` for a link, a special file, a name that is not plain, a type that is not
    data, or a folder that is not there or cannot be read.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise PackageRefused(shown, ".", "a folder", "a link" if folder.is_symlink() else "no such folder")
    found: dict[str, str] = {}
    for name, path in _walk(folder, shown):
        if name == SIGNATURE:
            continue
        if not _SAFE_NAME.fullmatch(name):
            raise PackageRefused(
                shown, repr(name), "a name of letters, digits, '.', '_' and '-'", "other characters"
            )
        if PurePosixPath(name).suffix not in SUFFIXES:
            raise PackageRefused(
                shown, name, f"data ({' '.join(sorted(SUFFIXES))})", "a type that is not loaded"
            )
        if len(found) == MAX_FILES:
            raise PackageRefused(shown, name, f"at most {MAX_FILES} files", "more")
        found[name] = _sha256(path, shown, name)
    return found


def _walk(folder: Path, shown: str) -> Iterator[tuple[str, Path]]:
    pending = [folder]
    while pending:
        for entry in _entries(pending.pop(), shown):
            path = Path(entry.path)
            name = path.relative_to(folder).as_posix()
            if entry.is_symlink():
                raise PackageRefused(shown, name, "a regular file", "a symbolic link")
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            elif entry.is_file(follow_symlinks=False):
                yield name, path
            else:
                raise PackageRefused(shown, name, "a regular file", "a pipe, socket or device")


def _entries(folder: Path, shown: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise PackageRefused(shown, folder.name, "a readable folder", error.strerror or "none") from error


def _sha256(path: Path, shown: str, name: str) -> str:
    try:
        # The entry may have become a link or a pipe since it was listed.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PackageRefused(shown, name, "a readable file", error.strerror or "none") from error
