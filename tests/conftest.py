"""For all tests: no connection leaves this machine, no analytics, and state in a folder of its own."""

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")  # how fast this machine is just now is no property of the code

ANALYTICS_OFF = {
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
}
os.environ.update(ANALYTICS_OFF)  # before any test module imports a library that reads them


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What boots servers or trains models comes first: started last, one file alone would be waited for."""
    slow = {item.path for item in items if item.get_closest_marker("integration")}
    items.sort(key=lambda item: item.path not in slow)


class OutsideError(OSError):
    """A test tried to reach beyond this machine."""


@pytest.fixture(scope="session", autouse=True)
def _nothing_leaves_this_machine() -> Iterator[None]:
    """Loopback and UNIX sockets only: no test can reach a paid endpoint, or needs a network."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(real: Any) -> Any:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
                raise OutsideError(f"tests may connect to loopback only, not to {address[0]}")
            return real(self, address)

        return call

    socket.socket.connect = guarded(connect)  # type: ignore[method-assign]  # that is the point
    socket.socket.connect_ex = guarded(connect_ex)  # type: ignore[method-assign]  # same
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]  # put back
    socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]  # same


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, as SWITCHYARD_HOME; no other SWITCHYARD_* setting is in force."""
    for name in [name for name in os.environ if name.startswith("SWITCHYARD_")]:
        if name != "SWITCHYARD_DATA_MIRROR":
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("SWITCHYARD_HOME", str(folder))
    return folder


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
