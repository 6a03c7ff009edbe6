"""An identity provider's keys, fetched at need and kept: no caller can make us fetch often, or wait long.

While they are fresh nothing is fetched. Later they are fetched beside the requests, and those known go on
to count for `keys_for_s` when that fails; then tokens cannot be checked, which is a 503 and not a yes.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx

from services.errors import IdentityUnavailable
from services.jwks import MAX_BYTES, PublicKey, read_jwks
from services.oidc_settings import OidcSettings

log = logging.getLogger(__name__)

Fetch = Callable[[], Awaitable[bytes]]


class JwksSource:
    """Keys by `kid`. One for each worker, used from its event loop only."""

    def __init__(
        self, settings: OidcSettings, fetch: Fetch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, PublicKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> PublicKey | None:
        """The key, or None when the provider has no such one. Raises `IdentityUnavailable`."""
        if self._age() >= self._settings.refresh_s:
            self._start()
        if kid not in self._keys or not self._good():
            if self._good():
                self._start()  # a key may be new
            if self._fetching is not None:
                await asyncio.shield(self._fetching)
        if not self._good():
            raise IdentityUnavailable(
                "tokens cannot be checked now: the identity provider's keys cannot be fetched; retry later"
            )
        return self._keys.get(kid)

    def warm_up(self) -> None:
        """Begin to fetch now, so that the first request need not wait."""
        self._start()

    async def aclose(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            with suppress(asyncio.CancelledError):
                await self._fetching

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    def _good(self) -> bool:
        return self._age() < self._settings.refresh_s + self._settings.keys_for_s

    def _start(self) -> None:
        """Begin a fetch, unless one is under way or the last one is not long ago."""
        now = self._clock()
        if self._fetching is not None:
            return
        if self._tried_at is not None and now - self._tried_at < self._settings.refetch_s:
            return
        self._tried_at = now
        self._fetching = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                self._keys = read_jwks(await self._fetch())
            self._fetched_at = self._clock()
        except Exception as error:  # noqa: BLE001  — a provider may fail in any way; keys known go on to count
            log.error("the identity provider's keys could not be fetched: %s", type(error).__name__)
        finally:
            self._fetching = None


def fetch_over_http(client: httpx.AsyncClient, url: str) -> Fetch:
    """A bounded GET: no redirects, at most `MAX_BYTES`, status 200 only."""

    async def fetch() -> bytes:
        async with client.stream("GET", url, headers={"accept": "application/json"}) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"status {answer.status_code}")
            document = b""
            async for chunk in answer.aiter_bytes():
                document += chunk
                if len(document) > MAX_BYTES:
                    raise ValueError("too large")
            return document

    return fetch


def jwks_client(timeout_s: float) -> httpx.AsyncClient:
    """It follows no redirect, takes no proxy or login from the environment, and trusts whom this machine
    trusts (`SSL_CERT_FILE` too): an identity provider often has a certificate of the house."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses
    return httpx.AsyncClient(
        timeout=timeout_s, trust_env=False, follow_redirects=False, verify=ssl.create_default_context()
    )
