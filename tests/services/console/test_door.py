"""Nobody gets in by another name, from another page, or without a session; sessions end."""

from typing import Any

import httpx
import pytest

from services.console.door import Door
from services.console.sessions import COOKIE, IDLE_S, LONGEST_S, MOST, Session, Sessions

HOST = "127.0.0.1:3100"


async def inside(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock)


def headers(word: str = "", **more: str) -> dict[str, str]:
    return {**({"cookie": f"a=b; {COOKIE}={word}"} if word else {}), **more}


async def asked(sessions: Sessions, method: str, path: str, **given: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=Door(inside, sessions, [HOST]))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
        return await client.request(method, path, headers=given)


async def socket(sessions: Sessions, **given: str) -> str:
    """`inside`, or how the socket was closed."""
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "inside"})

    async def send(message: dict[str, Any]) -> None:
        seen.append(message)

    raw = [(name.encode(), value.encode()) for name, value in {"host": HOST, **given}.items()]
    scope = {"type": "websocket", "path": "/_nicegui_ws/socket.io/", "headers": raw}
    await Door(app, sessions, [HOST])(scope, None, send)
    return str(seen[0]["type"])


async def test_without_a_session_every_page_leads_to_signing_in(sessions: Sessions) -> None:
    for path in ("/", "/decisions", "/reviews", "/_nicegui_ws/socket.io/", "/nowhere"):
        answer = await asked(sessions, "GET", path)
        assert (answer.status_code, answer.headers["location"], answer.content) == (303, "/sign-in", b"")
    guessed = await asked(sessions, "GET", "/", **headers("guessed"))
    assert guessed.status_code == 303
    assert (await asked(sessions, "GET", "/sign-in")).text == "inside"


async def test_a_session_lets_in_with_headers_that_close_the_rest(sessions: Sessions) -> None:
    word = sessions.begin(Session("sk-secret", frozenset({"auditor"})))
    answer = await asked(sessions, "GET", "/", **headers(word))
    assert answer.text == "inside"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "http" not in answer.headers["content-security-policy"], "nothing comes from elsewhere"
    assert (answer.headers["x-frame-options"], answer.headers["cache-control"]) == ("DENY", "no-store")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3100", "127.0.0.1", "127.0.0.1:3101", ""])
async def test_another_host_name_is_refused_even_with_a_session(sessions: Sessions, host: str) -> None:
    word = sessions.begin(Session("k", frozenset()))
    assert (await asked(sessions, "GET", "/", **headers(word, host=host))).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:3101", ""])
async def test_what_another_page_sends_is_refused(sessions: Sessions, origin: str) -> None:
    word = sessions.begin(Session("k", frozenset()))
    given = headers(word, origin=origin)
    assert (await asked(sessions, "POST", "/sign-out", **given)).status_code == 403
    assert (await asked(sessions, "POST", "/_nicegui_ws/socket.io/", **given)).status_code == 403
    assert await socket(sessions, **given) == "websocket.close"


async def test_a_socket_takes_own_origin_and_session(sessions: Sessions) -> None:
    word = sessions.begin(Session("k", frozenset()))
    own = f"http://{HOST}"
    assert await socket(sessions, **headers(word, origin=own)) == "inside"
    assert await socket(sessions, **headers(word)) == "websocket.close", "no origin at all"
    assert await socket(sessions, origin=own) == "websocket.close"
    assert await socket(sessions, **headers("guessed", origin=own)) == "websocket.close"


def test_a_session_ends_unused_after_long_and_when_asked_to(sessions: Sessions, clock: Clock) -> None:
    words = [sessions.begin(Session(str(n), frozenset())) for n in range(3)]
    sessions.end(words[0])
    clock.now = IDLE_S - 1
    assert [sessions.find(word, used=n == 2) is not None for n, word in enumerate(words)] == [
        False,
        True,
        True,
    ]
    clock.now = IDLE_S + 1
    assert sessions.find(words[1]) is None, "a look by the page alone is no use"
    while clock.now < LONGEST_S:
        assert sessions.find(words[2]) is not None
        clock.now += IDLE_S / 2
    clock.now = LONGEST_S + 1
    assert sessions.find(words[2]) is None


def test_sessions_are_bounded_and_never_show_their_key(sessions: Sessions) -> None:
    first = sessions.begin(Session("sk-secret", frozenset()))
    for _ in range(MOST):
        last = sessions.begin(Session("sk-secret", frozenset()))
    assert sessions.find(first) is None
    assert sessions.find(last) is not None
    assert "sk-secret" not in repr(sessions.find(last))
