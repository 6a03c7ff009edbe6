"""In front of every request to the console: known host, own origin, signed in; headers that close the rest.

nicegui's socket takes any origin, so it is checked here. Pure ASGI, since a socket is no HTTP request.
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from services.console.sessions import COOKIE, Sessions

Asgi = Callable[[Any, Any, Any], Awaitable[None]]

SIGN_IN = "/sign-in"
OPEN = (SIGN_IN, "/livez")
FILES = "/_nicegui/"
"""nicegui's own front end: the same public files for everyone."""

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Vue compiles nicegui's page in the browser, which takes the two `unsafe`; nothing comes from elsewhere."""
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Door:
    """`hosts`: what a browser may have called us, with the port."""

    def __init__(self, app: Asgi, sessions: Sessions, hosts: Collection[str]) -> None:
        self.app = app  # nicegui looks for its app through this name
        self._sessions = sessions
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is None:
            await self.app(scope, receive, _with_headers(send, scope["path"]))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refused[1]})
        else:
            await _refuse(send, *refused)

    def _refused(self, scope: Any) -> tuple[int, str] | None:
        """Status and text, or None for a request that may go in."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return (
                421,
                "This console is not reached by that name; use the address that `switchyard up` prints.",
            )
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        origin = headers.get("origin")
        if (changes or origin is not None) and origin not in (f"http://{host}", f"https://{host}"):
            return 403, "Refused: this request came from another page."
        path = scope["path"]
        if path in OPEN or (path.startswith(FILES) and not changes):
            return None
        # A page that is only open talks on its socket by itself: that is no use by a person.
        person = scope["type"] == "http" and not path.startswith("/_nicegui")
        if self._sessions.find(session_word(headers.get("cookie", "")), used=person) is None:
            return (303, SIGN_IN) if scope["type"] == "http" else (401, "Sign in first.")
        return None


def session_word(cookie: str) -> str | None:
    """The session's word in a Cookie header."""
    try:
        found = SimpleCookie(cookie).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _with_headers(send: Any, path: str) -> Any:
    keep = () if path.startswith(FILES) else ((b"cache-control", b"no-store"),)

    async def out(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in (*_HEADERS, *keep)}
            given = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in own]
            message = {**message, "headers": [*given, *_HEADERS, *keep]}
        await send(message)

    return out


async def _refuse(send: Any, status: int, text: str) -> None:
    moved = status == 303
    headers = [*_HEADERS, (b"cache-control", b"no-store"), (b"content-type", b"text/plain; charset=utf-8")]
    body = b"" if moved else text.encode()
    headers += [(b"location", text.encode())] if moved else []
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
