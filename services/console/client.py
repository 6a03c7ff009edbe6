"""The orchestrator's HTTP API as the console calls it, with the key of whoever is signed in."""

from collections.abc import Mapping
from typing import Any

import httpx

from services.console.sessions import Session

TIMEOUT_S = 10.0
# /v1/budgets says no 503 behind the check of the key: an auditor gets in while the database is away
_ASKED = {"auditor": "/v1/budgets", "reviewer": "/v1/reviews?limit=1"}


class Trouble(Exception):
    """The API did not do it: why, and what to do next, never what was sent. `status` None: not reached."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class ApiClient:
    """One for the process. Redirects are not followed: a key must not go elsewhere."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url, timeout=TIMEOUT_S, trust_env=False, transport=transport, follow_redirects=False
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def roles(self, key: str) -> frozenset[str]:
        """Of reviewer and auditor, those that the key has: asked of the API, which alone knows.
        Raises `Trouble` for a key that it does not take, or cannot check."""
        found = set()
        away: Trouble | None = None
        for role, path in _ASKED.items():
            try:
                await self._call("GET", path, key)
            except Trouble as trouble:
                if trouble.status == httpx.codes.SERVICE_UNAVAILABLE:
                    away = trouble  # nothing is known of the key: it has not got this role
                elif trouble.status != httpx.codes.FORBIDDEN:
                    raise
            else:
                found.add(role)
        if away is not None and not found:
            raise away
        return frozenset(found)

    async def get(self, session: Session, path: str, **query: str | int) -> dict[str, Any]:
        return await self._call("GET", path, session.key, query=query)

    async def post(self, session: Session, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._call("POST", path, session.key, body=body)

    async def ready(self) -> dict[str, Any]:
        """`/readyz`, also where it says that it is not."""
        answer = await self._send("GET", "/readyz")
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or "ready" not in found:
            raise Trouble(f"/readyz answered {answer.status_code} and not whether it is ready")
        return found

    async def metrics(self) -> str:
        answer = await self._send("GET", "/metrics")
        if answer.status_code != httpx.codes.OK:
            raise Trouble(f"/metrics answered {answer.status_code}", answer.status_code)
        return answer.text

    async def _call(
        self,
        method: str,
        path: str,
        key: str,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {key}"}
        answer = await self._send(method, path, headers=headers, params=query or None, json=body)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if answer.is_success and isinstance(found, dict):
            return found
        said = found.get("error") if isinstance(found, dict) else None
        message = said.get("message") if isinstance(said, dict) else None
        raise Trouble(str(message or f"the API answered {answer.status_code}"), answer.status_code)

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **more)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise Trouble(
                f"the orchestrator at {self.url} is not reached ({type(error).__name__}); is it running?"
            ) from error
