"""Servers that a command starts come up, say why when they do not, and never outlive it."""

import socket
import sys
from pathlib import Path

import httpx
import pytest

from flows.errors import ProcessError
from flows.processes import Server, free_port, require_free


def _server(tmp_path: Path, code: str, port: int, start_timeout_s: float = 20) -> Server:
    url = f"http://127.0.0.1:{port}/"
    return Server(
        "thing", [sys.executable, "-c", code], url, tmp_path / "thing.log", start_timeout_s=start_timeout_s
    )


def test_a_server_is_ready_when_its_health_address_answers_and_gone_after_the_block(tmp_path: Path) -> None:
    port = free_port(0)
    handler = f"HTTPServer(('127.0.0.1', {port}), SimpleHTTPRequestHandler)"
    code = f"from http.server import *; {handler}.serve_forever()"
    with _server(tmp_path, code, port) as server:
        server.wait_ready()
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    assert not server.running()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")


def test_a_server_that_ends_while_starting_is_an_error_that_names_its_log_and_last_line(
    tmp_path: Path,
) -> None:
    with (
        _server(tmp_path, "raise SystemExit('no such database')", free_port(0)) as server,
        pytest.raises(ProcessError, match=r"thing ended while starting.*thing\.log.*no such database"),
    ):
        server.wait_ready()


def test_a_server_that_never_answers_is_given_up_after_its_time(tmp_path: Path) -> None:
    code = "import threading; threading.Event().wait()"
    with (
        _server(tmp_path, code, free_port(0), start_timeout_s=0.6) as server,
        pytest.raises(ProcessError, match="not ready after"),
    ):
        server.wait_ready()
    assert not server.running()


def test_a_port_in_use_is_refused_with_the_option_that_changes_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
        with pytest.raises(ProcessError, match=rf"port {port} is in use.*--port"):
            require_free(port, "orchestrator", "--port")
