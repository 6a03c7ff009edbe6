"""Signing in and out: plain HTML forms, so that the key crosses no script and no socket."""

import re
from http import HTTPStatus
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from services.console.client import ApiClient, Trouble
from services.console.door import SIGN_IN, session_word
from services.console.sessions import COOKIE, LONGEST_S, Session, Sessions

MAX_FORM_BYTES = 4096
_KEY = re.compile(r"[\x21-\x7e]{1,2048}")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sign in · Switchyard</title><style>
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: #eef1f5;
  font: 15px/1.5 system-ui, sans-serif; color: #1c2733; }}
main {{ background: #fff; border: 1px solid #d8dee6; border-radius: 8px; padding: 32px; width: 400px;
  max-width: calc(100vw - 96px); }}
h1 {{ font-size: 22px; margin: 0 0 4px; }} p {{ margin: 0 0 16px; color: #52606f; }}
label {{ display: block; font-weight: 600; margin-bottom: 4px; }}
input {{ width: 100%; box-sizing: border-box; padding: 10px; border: 1px solid #aab4c0; border-radius: 6px;
  font: inherit; }}
button {{ margin-top: 16px; padding: 10px 20px; border: 0; border-radius: 6px; background: #17324d;
  color: #fff; font: inherit; font-weight: 600; cursor: pointer; }}
.bad {{ background: #fdecea; color: #8c1d18; border-radius: 6px; padding: 10px 12px; }}
code {{ background: #eef1f5; padding: 2px 5px; border-radius: 4px; font-size: 12.5px;
  overflow-wrap: anywhere; }}
small {{ display: block; margin-top: 24px; color: #52606f; }}
</style></head><body><main><h1>Switchyard console</h1><p>What was decided, by what, and why.</p>{bad}
<form method="post" action="/sign-in" autocomplete="off"><label for="key">API key</label>
<input id="key" name="key" type="password" required autofocus maxlength="2048" placeholder="sk-…">
<button>Sign in</button></form>
<small>A key with the role <b>auditor</b> (overview, decisions, rollouts), <b>reviewer</b> (reviews),
or both:<br>
<code>switchyard keys create --tenant demo --role auditor --role reviewer</code></small>
</main></body></html>
"""


def add_sign_in(app: FastAPI, api: ApiClient, sessions: Sessions) -> None:
    """`GET` and `POST /sign-in`, `POST /sign-out`, `GET /livez`."""

    @app.get("/livez")
    async def livez() -> Response:
        return PlainTextResponse("ok")

    @app.get(SIGN_IN)
    async def form() -> Response:
        return _form()

    @app.post(SIGN_IN)
    async def sign_in(request: Request) -> Response:
        key = await _key(request)
        if key is None:
            return _form("Expected an API key, as `switchyard keys create` prints it.", 422)
        try:
            roles = await api.roles(key)
        except Trouble as trouble:
            refused = trouble.status is not None and trouble.status < HTTPStatus.INTERNAL_SERVER_ERROR
            return _form(_sentence(trouble), trouble.status or 503 if refused else 503)
        if not roles:
            return _form("This key may not enter: it has neither the role reviewer nor auditor.", 403)
        sessions.end(session_word(request.headers.get("cookie", "")))
        word = sessions.begin(Session(key, roles))
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(
            COOKIE, word, max_age=int(LONGEST_S), httponly=True, samesite="strict", secure=secure, path="/"
        )
        return answer

    @app.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        sessions.end(session_word(request.headers.get("cookie", "")))
        answer = RedirectResponse(SIGN_IN, 303)
        answer.delete_cookie(COOKIE, path="/")
        return answer


async def _key(request: Request) -> str | None:
    """The key in the form, or None. At most `MAX_FORM_BYTES` are read."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return None
    try:
        given = parse_qs(body.decode("ascii"), max_num_fields=4).get("key", [""])[0].strip()
    except ValueError:
        return None
    return given if _KEY.fullmatch(given) else None


def _form(bad: str = "", status: int = 200) -> Response:
    shown = f'<p class="bad" role="alert">{_escaped(bad)}</p>' if bad else ""
    return HTMLResponse(_PAGE.format(bad=shown), status)


def _sentence(trouble: Trouble) -> str:
    return f"Not signed in: {trouble.message}."


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
