"""Server-sent events, read strictly and within bounds: bytes in, the `data` of each event out. Pure.

As the HTML standard has them (section 9.2.6), except that a lone CR ends no line and that a field of an
unknown name is a fault: an endpoint that speaks otherwise is not the one that was tested.
"""

from collections.abc import Iterator

MAX_LINE_BYTES = 64 * 1024
_IGNORED = (b"event", b"id", b"retry")


class BadStreamError(ValueError):
    """What came is no event stream, or more of it than is taken. The message holds nothing of it."""


class EventStream:
    """One response's events. Feed it bytes, however they are cut."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._rest = b""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The data of each event that is complete now. Raises `BadStreamError`."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._check(line)
            if (data := self._line(line.removesuffix(b"\r"))) is not None:
                yield data
        self._check(self._rest)

    def _line(self, line: bytes) -> str | None:
        if not line:
            data, self._data = self._data, []
            return "\n".join(data) if data else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(_text(value.removeprefix(b" ")))
        elif name and name not in _IGNORED:
            raise BadStreamError("a line that is no field of an event")
        return None

    def _check(self, line: bytes) -> None:
        held = sum(map(len, self._data))
        if len(line) + held > self._max_line_bytes:
            raise BadStreamError(f"an event of more than {self._max_line_bytes} bytes")


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise BadStreamError("bytes that are not UTF-8") from None
