"""Gets a use case's data files: known by hash, wherever they come from.

A file is looked for in `SWITCHYARD_DATA_MIRROR` (any file in that tree with the right bytes), then in
the cache, then at its public address. Other bytes than those named are never used, nor kept.
"""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from feature_checks.errors import DatasetError
from feature_checks.splits import drop_repeats, split_sample
from feature_checks.tables import read_table
from feature_checks.usecase import RemoteFile, UseCase

if TYPE_CHECKING:
    import httpx
    import pandas as pd

Which = Literal["sample", "full"]
DOWNLOAD_TIMEOUT_S = 120.0
AUTO_TIMEOUT_S = 10.0
MAX_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class LabelledData:
    """Rows of a use case: its input fields and its label, indexed by their place in the file.

    `outside` holds rows that no label fits: never trained on; any local answer to one is wrong.
    """

    train: "pd.DataFrame"
    test: "pd.DataFrame"
    outside: "pd.DataFrame"


def fetch_file(
    remote: RemoteFile,
    cache_dir: Path,
    timeout_s: float = DOWNLOAD_TIMEOUT_S,
    *,
    transport: "httpx.BaseTransport | None" = None,
) -> Path:
    """A local file whose SHA-256 is the one named. Raises `DatasetError` naming url, expected, got.

    `timeout_s` bounds the whole download, name resolution included.
    """
    name = file_name(remote)
    if found := _in_mirror(name, remote.sha256):
        return found
    cached = cache_dir / f"{remote.sha256[:16]}-{name}"
    if cached.is_file() and _sha256(cached) == remote.sha256:
        return cached
    partial = cache_dir / f".{cached.name}.{os.getpid()}-{threading.get_ident()}"
    outcome: list[Exception] = []

    def download() -> None:
        try:
            _download(remote, partial, cached, time.monotonic() + timeout_s, transport)
        except Exception as error:  # noqa: BLE001  — handed to the waiting thread, which raises it
            outcome.append(error)
        finally:
            partial.unlink(missing_ok=True)

    # A thread of its own, since resolving a name cannot be given a time limit.
    worker = threading.Thread(target=download, daemon=True, name=f"fetch {name}")
    worker.start()
    worker.join(timeout_s + 0.5)
    if worker.is_alive():
        raise DatasetError(_not_had(remote, f"no answer within {timeout_s:g} s"))
    if outcome:
        raise outcome[0]
    return cached


def load_labelled(usecase: UseCase, which: Which, cache_dir: Path) -> LabelledData:
    """The rows as training sees them: the same split, the same rows left out.

    Outside rows always come from the sample. Raises `DatasetError` for a file with other columns.
    """
    columns = [*usecase.input, usecase.label]
    outside_label = usecase.local.outside if usecase.local else None
    sample = read_table(usecase.path(usecase.data.sample), expected=columns)
    train, test, outside = split_sample(sample, list(usecase.input), usecase.label, outside_label)
    if which == "full":
        train, test = (
            read_table(fetch_file(r, cache_dir), r.format, r.columns, columns) for r in full(usecase)
        )
    train, _ = drop_repeats(train, test, identity_fields(usecase))
    return LabelledData(train[columns], test[columns], outside[columns])


def full(usecase: UseCase) -> tuple[RemoteFile, RemoteFile]:
    """(train, test) files of the full data. Raises `DatasetError` when the use case names none."""
    if usecase.data.full is None:
        raise DatasetError(f"use case '{usecase.name}' names no full data (`data.full`); use `--data sample`")
    return usecase.data.full.train, usecase.data.full.test


def choose_data(usecase: UseCase, cache_dir: Path, timeout_s: float = AUTO_TIMEOUT_S) -> tuple[Which, str]:
    """`full` if its files can be had within `timeout_s`, else `sample`; and the reason, for people."""
    deadline = time.monotonic() + timeout_s
    try:
        for remote in full(usecase):
            fetch_file(remote, cache_dir, max(0.1, deadline - time.monotonic()))
    except DatasetError as error:
        return "sample", f"the sample, since the full data cannot be had: {error}"
    return "full", "the full data"


def identity_fields(usecase: UseCase) -> tuple[str, ...]:
    """Fields whose equality makes two rows the same message: free text. Numbers never do."""
    return tuple(n for n, s in usecase.input.items() if s.type == "string" and s.values is None)


def file_name(remote: RemoteFile) -> str:
    """The last part of the address."""
    return Path(urlsplit(remote.url).path).name or "data"


def _in_mirror(name: str, sha256: str) -> Path | None:
    """A file of the mirror with these bytes; those that have the right name are tried first."""
    mirror = os.environ.get("SWITCHYARD_DATA_MIRROR")
    if not mirror:
        return None
    files = sorted(_files(Path(mirror)), key=lambda path: (path.name != name, path))
    return next((path for path in files if _sha256(path) == sha256), None)


def _files(folder: Path) -> Iterator[Path]:
    for base, _, names in os.walk(folder):
        yield from (path for n in names if (path := Path(base) / n).is_file())


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # unreadable is as good as not there
        return ""


def _download(
    remote: RemoteFile, partial: Path, target: Path, deadline: float, transport: "httpx.BaseTransport | None"
) -> None:
    import httpx

    digest = hashlib.sha256()
    size = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            httpx.Client(transport=transport, timeout=_left(deadline), follow_redirects=True) as client,
            client.stream("GET", remote.url) as answer,
            partial.open("xb") as file,
        ):
            answer.raise_for_status()
            for chunk in answer.iter_bytes(1 << 16):
                digest.update(chunk)
                size += file.write(chunk)
                if size > MAX_BYTES or time.monotonic() > deadline:
                    raise DatasetError(_not_had(remote, "too large or too slow"))
    except httpx.HTTPStatusError as error:
        raise DatasetError(_not_had(remote, f"status {error.response.status_code}")) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DatasetError(_not_had(remote, type(error).__name__)) from error
    except OSError as error:
        raise DatasetError(f"the data cache cannot be written: {error.strerror}") from error
    if digest.hexdigest() != remote.sha256:
        raise DatasetError(
            f"{remote.url}: expected sha256 {remote.sha256}, got {digest.hexdigest()} ({size:,} bytes); "
            "not used and not kept: the published file changed, or something on the way did"
        )
    partial.replace(target)


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())


def _not_had(remote: RemoteFile, why: str) -> str:
    return (
        f"{remote.url}: {why}; put a file with sha256 {remote.sha256} anywhere under SWITCHYARD_DATA_MIRROR, "
        "or use `--data sample`"
    )
