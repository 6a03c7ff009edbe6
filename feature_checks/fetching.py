"""Gets one public data file: known by hash, wherever it comes from.

It is looked for in `SWITCHYARD_DATA_MIRROR` (any file in that tree with the right bytes), then in the
cache, then at its public address. Other bytes than those named are never used, nor kept.
"""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from feature_checks.data_spec import RemoteFile
from feature_checks.errors import DatasetError

if TYPE_CHECKING:
    import httpx

DOWNLOAD_TIMEOUT_S = 120.0
MAX_BYTES = 4 << 30


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
            with contextlib.suppress(OSError):  # there is no folder to tidy
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
