"""Which journal files a worker of this home began: its header is signed, or a signed checkpoint names it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from services.chain import from_line
from services.evidence.entries import CHECKPOINT, verify_stamp
from services.evidence.log_check import check_log, read_place

NOT_OURS = "was not begun by a worker of this home: its header is unsigned, no checkpoint names it"
NO_FILE = "is no file"
_HEADER_BYTES = 64 * 1024


class Vouching:
    """Remembers what it found, so that each file is looked into once. `jwks` is asked anew for each new
    file, since keys rotate while a worker runs."""

    def __init__(self, logs: Path, jwks: Callable[[], Mapping[str, Any]]) -> None:
        self._logs = logs
        self._jwks = jwks
        self._known: set[str] = set()
        self._refused: dict[str, tuple[int, int]] = {}
        self._named: frozenset[str] | None = None

    def refusal(self, file: Path) -> str | None:
        """Why nothing of this file may be shipped or shown; None where a worker of this home began it, and
        for a header that is not written yet. Raises OSError for a file that cannot be read."""
        if file.name in self._known:
            return None
        if not file.is_file():
            return NO_FILE
        state = file.stat()
        if self._refused.get(file.name) == (state.st_ino, state.st_size):
            return NOT_OURS
        with file.open("rb") as stream:
            line = stream.readline(_HEADER_BYTES)
        if not line.endswith(b"\n") and len(line) < _HEADER_BYTES:
            return None
        if self._is_ours(file.name, line):
            self._known.add(file.name)
            return None
        self._refused[file.name] = state.st_ino, state.st_size
        return NOT_OURS

    def _is_ours(self, name: str, line: bytes) -> bool:
        try:
            stamp = from_line(line).record.get("stamp")
        except ValueError:
            return False
        return verify_stamp(stamp, name, self._jwks()) or name in self._checkpointed()

    def _checkpointed(self) -> frozenset[str]:
        """Files begun before headers were signed; read once, since new ones are signed."""
        if self._named is None:
            entries = check_log(read_place(self._logs), {}, self._jwks()).entries
            self._named = frozenset(entry.body["file"] for entry in entries if entry.kind == CHECKPOINT)
        return self._named
