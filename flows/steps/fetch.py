"""fetch: the use case's data files, byte for byte, with the hash of each."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

from feature_checks.datasets import DataFiles, Which, data_files, default_cache_dir, full
from feature_checks.usecase import UseCase
from flows.steps.files import fresh, need, read_json, write_json


def fetch(build: Path, usecase: UseCase, which: Which, timeout_s: float = 300.0) -> dict[str, Any]:
    """Copy the files of `which` into raw/<role>/ and write raw/fetch.json; returns what that holds.

    Raises `DatasetError` when a file cannot be had, or is not the one that the use case names.
    """
    found = data_files(usecase, which, default_cache_dir(), timeout_s)
    raw = fresh(build / "raw")
    urls: dict[str, str] = {}
    if which == "full":
        urls = {role: remote.url for role, remote in full(usecase).items()}
    files = []
    for role in ("sample", "train", "test", "table"):
        source: Path | None = getattr(found, role)
        if source is None:
            continue
        (raw / role).mkdir()
        copy = raw / role / source.name
        shutil.copyfile(source, copy)
        files.append(
            {
                "role": role,
                "file": f"{role}/{source.name}",
                "sha256": hash_file(copy, "sha256"),
                "md5": hash_file(copy, "md5"),  # what DVC knows a file by
                "uri": urls.get(role),
            }
        )
    fetched = {"data": which, "files": files}
    write_json(raw / "fetch.json", fetched)
    return fetched


def hash_file(file: Path, algorithm: str) -> str:
    """Of the file's bytes, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, algorithm).hexdigest()


def fetched_files(build: Path) -> DataFiles:
    """Where step `fetch` put the files."""
    raw = build / "raw"
    listed = read_json(raw / "fetch.json", "fetch")["files"]
    paths = {entry["role"]: need(raw / entry["file"], "fetch") for entry in listed}
    found = {role: paths.get(role) for role in ("train", "test", "added", "table")}
    return DataFiles(paths["sample"], **found)
