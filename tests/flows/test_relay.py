"""The demo's relay forwards what it gets, keeps it, and is gone when it is stopped."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from flows.processes import free_port
from flows.relay import Relay


class _Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def upstream() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_relay_forwards_and_keeps_the_very_bytes(upstream: str) -> None:
    with Relay(free_port(0), upstream) as relay:
        answer = httpx.post(f"{relay.url}/v1/chat/completions", content=b'{"a": "\xc3\xa9"}')
    assert answer.content == b'{"a": "\xc3\xa9"}'
    assert list(relay.seen) == [b'{"a": "\xc3\xa9"}']


def test_an_upstream_that_is_gone_is_a_502_and_still_recorded() -> None:
    with Relay(free_port(0), f"http://127.0.0.1:{free_port(0)}") as relay:
        assert httpx.post(relay.url, content=b"x").status_code == 502
    assert list(relay.seen) == [b"x"]


def test_a_stopped_relay_refuses_connections(upstream: str) -> None:
    with Relay(free_port(0), upstream) as relay:
        relay.stop()
        with pytest.raises(httpx.ConnectError):
            httpx.post(relay.url, content=b"x")


def test_a_stopped_relay_may_be_started_again(upstream: str) -> None:
    with Relay(free_port(0), upstream) as relay:
        relay.stop()
        relay.start()
        assert httpx.post(relay.url, content=b"x").content == b"x"
