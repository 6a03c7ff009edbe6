"""Fetching an identity provider's keys: rarely, bounded, and never as a yes when it fails."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from services.errors import IdentityUnavailable
from services.jwks import MAX_BYTES
from services.jwks_source import JwksSource, fetch_over_http, jwks_client
from services.oidc_settings import OidcSettings
from tests.services.test_oidc import EC, RSA, SETTINGS, jwks


class Provider:
    """A fetch whose answer, failure and moment the test decides."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.document = jwks(RSA)
        self.error: Exception | None = None
        self.fetched = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.source = JwksSource(OidcSettings(**SETTINGS), self.fetch, lambda: self.now)

    async def fetch(self) -> bytes:
        self.fetched += 1
        await self.may_answer.wait()
        if self.error:
            raise self.error
        return self.document

    async def settled(self) -> None:
        """What runs beside the requests has run."""
        if self.source._fetching is not None:
            await self.source._fetching


async def test_fresh_keys_are_not_fetched_again() -> None:
    """A thousand tokens, one fetch."""
    provider = Provider()
    for _ in range(1000):
        assert await provider.source.key("rsa") is not None
    assert provider.fetched == 1


async def test_many_at_once_share_one_fetch() -> None:
    provider = Provider()
    provider.may_answer.clear()
    asked = [asyncio.create_task(provider.source.key("rsa")) for _ in range(50)]
    await asyncio.sleep(0)
    provider.may_answer.set()
    assert all(await asyncio.gather(*asked))
    assert provider.fetched == 1


async def test_an_unknown_key_is_looked_for_once_in_a_while_whatever_callers_send() -> None:
    """A new key is found; made-up ones make us fetch once in ten seconds and no more."""
    provider = Provider()
    await provider.source.key("rsa")
    provider.document = jwks(RSA, EC)
    provider.now += 10
    assert await provider.source.key("ec") is not None
    for number in range(1000):
        assert await provider.source.key(f"made-up-{number}") is None
    assert provider.fetched == 2


async def test_old_keys_are_fetched_beside_the_requests() -> None:
    """Nobody waits; a key that was withdrawn is out after that."""
    provider = Provider()
    await provider.source.key("rsa")
    provider.document = jwks(EC)
    provider.now += 301
    provider.may_answer.clear()
    assert await provider.source.key("rsa") is not None
    provider.may_answer.set()
    await provider.settled()
    assert await provider.source.key("rsa") is None


async def test_known_keys_count_for_an_hour_without_the_provider_and_then_no_longer() -> None:
    """Degraded, then denied with a reason: never open. A kid that is unknown stays a no."""
    provider = Provider()
    await provider.source.key("rsa")
    provider.error = OSError("gone")
    provider.now += 300 + 3599
    assert await provider.source.key("rsa") is not None
    await provider.settled()
    assert await provider.source.key("ec") is None
    provider.now += 2
    with pytest.raises(IdentityUnavailable, match="cannot be fetched"):
        await provider.source.key("rsa")
    provider.error = None
    provider.now += 10
    assert await provider.source.key("rsa") is not None


async def test_without_any_key_tokens_cannot_be_checked_and_the_provider_is_left_in_peace() -> None:
    """A hundred tokens while it is down: one try."""
    provider = Provider()
    provider.error = OSError("gone")
    for _ in range(100):
        with pytest.raises(IdentityUnavailable):
            await provider.source.key("rsa")
    assert provider.fetched == 1


async def test_a_document_that_is_wrong_does_not_take_the_good_keys_away() -> None:
    provider = Provider()
    await provider.source.key("rsa")
    provider.document = b'{"keys": []}'
    provider.now += 301
    await provider.source.key("rsa")
    await provider.settled()
    assert await provider.source.key("rsa") is not None


class _Web(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, body, headers = {
            "/good": (200, jwks(RSA), {}),
            "/huge": (200, b" " * (MAX_BYTES + 1), {}),
            "/moved": (302, b"", {"location": "/good"}),
            "/broken": (500, jwks(RSA), {}),
        }[self.path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def web() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Web) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_over_http_only_a_plain_answer_of_bounded_size_counts() -> None:
    """200 and small enough; a redirect is not followed."""
    _Web.asked.clear()
    with web() as url:
        async with jwks_client(5) as client:
            assert await fetch_over_http(client, f"{url}/good")() == jwks(RSA)
            for path, why in (("/huge", "large"), ("/moved", "302"), ("/broken", "500")):
                with pytest.raises(ValueError, match=why):
                    await fetch_over_http(client, url + path)()
    assert _Web.asked.count("/good") == 1


async def test_a_provider_that_hangs_is_given_up_on() -> None:
    """Within the time of one fetch; then tokens cannot be checked."""
    provider = Provider()
    provider.source = JwksSource(OidcSettings(**SETTINGS, timeout_s=0.01), provider.fetch)
    provider.may_answer.clear()
    with pytest.raises(IdentityUnavailable):
        await provider.source.key("rsa")
