"""Reading bodies: bounds of size and time, and strict JSON."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.body import ClientGoneError, deeper_than, parse_json, read_body, require_json
from services.errors import InputError, TooLarge, UnsupportedMedia


def chunks(*parts: bytes, end: str = "http.request") -> Any:
    """An ASGI `receive` that gives these parts, then waits forever or disconnects."""
    messages: list[Mapping[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) - 1 or end != "http.request"}
        for number, part in enumerate(parts)
    ]
    taken: list[int] = []

    async def receive() -> Mapping[str, Any]:
        if len(taken) < len(messages):
            taken.append(1)
            return messages[len(taken) - 1]
        if end == "http.disconnect":
            return {"type": end}
        await asyncio.Event().wait()
        raise AssertionError

    receive.taken = taken  # type: ignore[attr-defined]  # known here, not to mypy
    return receive


async def test_a_body_in_pieces_comes_whole() -> None:
    """Chunks are joined in order."""
    assert await read_body(chunks(b'{"a', b'": ', b"1}"), {}, 100, 1) == b'{"a": 1}'


async def test_an_announced_excess_is_refused_before_anything_is_read() -> None:
    """Content-Length alone is enough."""
    receive = chunks(b"x")
    with pytest.raises(TooLarge, match="100 bytes"):
        await read_body(receive, {"content-length": "101"}, 100, 1)
    assert not receive.taken


async def test_an_unannounced_excess_is_refused_while_reading() -> None:
    """No more than one chunk beyond the limit is ever taken."""
    receive = chunks(*[b"x" * 60] * 10)
    with pytest.raises(TooLarge):
        await read_body(receive, {"content-length": "junk"}, 100, 1)
    assert len(receive.taken) == 2


@pytest.mark.parametrize("parts", [(), (b'{"a"',)])
async def test_a_body_that_does_not_come_in_time_is_a_400(parts: tuple[bytes, ...]) -> None:
    """A slow sender cannot hold a request open: not at its first byte, not between two."""
    receive = chunks(*parts, end="never")
    with pytest.raises(InputError, match="within") as slow:
        await read_body(receive, {}, 100, 0.02)
    assert slow.value.malformed


async def test_a_caller_who_hangs_up_is_noticed() -> None:
    """A disconnect ends the reading."""
    with pytest.raises(ClientGoneError):
        await read_body(chunks(b"{", end="http.disconnect"), {}, 100, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json, text/plain"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_only_plain_json_is_taken(headers: dict[str, str]) -> None:
    """Nothing is guessed from the body."""
    with pytest.raises(UnsupportedMedia):
        require_json(headers)


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_the_usual_spellings_of_json_are_taken(kind: str) -> None:
    """Case and quotes do not matter."""
    require_json({"content-type": kind})


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": 1} extra', "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"a": "\xc3\x28"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a": 1, "a": 2}', "same key twice"),
        (b'{"a": {"b": 1, "b": 2}}', "same key twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "NaN"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": 123456789012345678901234567890}', "digits"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'{"a": "\x00"}', "not JSON"),
        (b"[" * 17 + b"]" * 17, "deeper than 16"),
        (b'{"a":' * 17 + b"1" + b"}" * 17, "deeper than 16"),
    ],
)
def test_what_is_not_strict_json_is_a_400_that_holds_nothing_of_it(body: bytes, why: str) -> None:
    """Each fault has its words; none repeats the body."""
    with pytest.raises(InputError, match=why) as error:
        parse_json(body, 16)
    assert error.value.malformed


def test_brackets_in_strings_do_not_nest() -> None:
    """Depth is of the JSON, not of its texts."""
    assert parse_json(b'{"a": "' + b"[{" * 50 + b'\\"[["}', 4) == {"a": "[{" * 50 + '"[['}


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_depth_is_what_a_parser_would_find(value: object) -> None:
    """Counting brackets outside strings agrees with the parsed value."""
    import json

    def deep(part: object) -> int:
        if isinstance(part, dict):
            return 1 + max((deep(item) for item in part.values()), default=0)
        if isinstance(part, list):
            return 1 + max((deep(item) for item in part), default=0)
        return 0

    body = json.dumps(value).encode()
    assert not deeper_than(deep(value), body)
    assert deep(value) == 0 or deeper_than(deep(value) - 1, body)


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b'\\"' * 500_000,
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b"[" + b"1" * 1_000_000,
        b"\\" * 1_000_000,
    ],
)
def test_a_megabyte_made_to_be_slow_is_refused_fast(body: bytes) -> None:
    """No input makes the checks more than linear."""
    started = time.perf_counter()
    with pytest.raises(InputError):
        parse_json(body, 16)
    assert time.perf_counter() - started < 2
