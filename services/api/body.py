"""A request's body: read within bounds of size and time, then parsed as strict JSON.

Strict: UTF-8, no key twice in one object, no NaN or infinity, no half surrogates, bounded depth and
numbers. No message holds anything of the body.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from services.errors import InputError, TooLarge, UnsupportedMedia

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

DRAIN_BYTES: Final = 16 * 1024 * 1024
DRAIN_S: Final = 2.0
MAX_DIGITS: Final = 19  # of an integer: what 64 bits hold

_JSON_TYPE = re.compile(r'application/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)
# Possessive, and with the last quote optional: linear also on what never ends.
_STRINGS = re.compile(rb'(?s)"(?:[^"\\]++|\\.)*+"?')


class ClientGoneError(Exception):
    """The caller closed the connection while sending."""


def require_json(headers: Mapping[str, str]) -> None:
    """Raises `UnsupportedMedia` unless the headers announce plain JSON."""
    if not _JSON_TYPE.fullmatch(headers.get("content-type", "").strip()):
        raise UnsupportedMedia("content-type: expected application/json (UTF-8)")
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMedia("content-encoding: expected none; send the JSON uncompressed")


async def read_body(receive: Receive, headers: Mapping[str, str], max_bytes: int, timeout_s: float) -> bytes:
    """The whole body. Holds at most `max_bytes`; raises `TooLarge` as soon as more is announced or comes."""
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > max_bytes:
        raise _too_large(max_bytes)
    first = await _next(receive, timeout_s)
    if not first.get("more_body"):
        return _bounded(first.get("body", b""), max_bytes)
    chunks = [_bounded(first.get("body", b""), max_bytes)]
    held = len(chunks[0])
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await _next(receive, timeout_s)
                chunks.append(message.get("body", b""))
                held += len(chunks[-1])
                if held > max_bytes:
                    raise _too_large(max_bytes)
                if not message.get("more_body"):
                    return b"".join(chunks)
    except TimeoutError:
        raise _too_slow(timeout_s) from None


async def drain(receive: Receive) -> None:
    """Read and drop what a refused caller still sends, within bounds, so that it sees our answer."""
    dropped = 0
    try:
        async with asyncio.timeout(DRAIN_S):
            while dropped <= DRAIN_BYTES:
                message = await receive()
                dropped += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
    except TimeoutError:
        return


def parse_json(body: bytes, max_depth: int) -> Any:
    """The body as Python values. Raises `InputError` (malformed: a 400)."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"is not UTF-8: bad byte at position {error.start}") from None
    if body.count(b"{") + body.count(b"[") > max_depth and deeper_than(max_depth, body):
        raise _malformed(f"is nested deeper than {max_depth} levels")
    try:
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise _malformed(f"is not JSON: error at line {error.lineno}, column {error.colno}") from None
    except UnicodeEncodeError:
        raise _malformed("holds half of a surrogate pair, which is not valid Unicode") from None
    except (_RefusedError, RecursionError) as error:
        raise _malformed(str(error) if isinstance(error, _RefusedError) else "is nested too deeply") from None
    return value


def deeper_than(limit: int, body: bytes) -> bool:
    """Do objects and arrays nest deeper, strings left aside? Counts brackets, matched or not."""
    level = 0
    for byte in _STRINGS.sub(b"", body):
        if byte in b"{[":
            level += 1
            if level > limit:
                return True
        elif byte in b"}]":
            level -= 1
    return False


class _RefusedError(ValueError):
    """JSON that the grammar allows and we do not."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("holds an object with the same key twice")
    return found


def _constant(_: str) -> Any:
    raise _RefusedError("holds NaN or Infinity, which JSON does not have")


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise _RefusedError("holds a number that is too large")
    return number


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise _RefusedError(f"holds an integer of more than {MAX_DIGITS} digits")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
)


async def _next(receive: Receive, timeout_s: float) -> Mapping[str, Any]:
    try:
        async with asyncio.timeout(timeout_s):
            message = await receive()
    except TimeoutError:
        raise _too_slow(timeout_s) from None
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message


def _bounded(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"body: expected at most {max_bytes} bytes")


def _too_slow(timeout_s: float) -> InputError:
    return InputError("body", f"body: did not arrive within {timeout_s:g} s", malformed=True)


def _malformed(what: str) -> InputError:
    return InputError("body", f"body: {what}", malformed=True)
