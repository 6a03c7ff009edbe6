"""`python -m services.console`: the console's process. `switchyard up` starts it beside the others."""

import argparse
import os
import tempfile
from ipaddress import ip_address


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m services.console", description=__doc__)
    parser.add_argument("--port", type=int, default=3100)
    parser.add_argument("--api", default="http://127.0.0.1:3000", help="the orchestrator's address")
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen; loopback unless you have TLS in front"
    )
    parser.add_argument(
        "--name", action="append", default=[], help="a further host[:port] that browsers call it by"
    )
    given = parser.parse_args()
    # nicegui would make a folder here when something is stored; nothing is, and it must not be.
    os.environ.setdefault("NICEGUI_STORAGE_PATH", f"{tempfile.gettempdir()}/switchyard-console-unused")

    import uvicorn

    from services.console.app import build

    local = [f"{name}:{given.port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    listening = [] if ip_address(given.host).is_unspecified else [f"{given.host}:{given.port}"]
    door = build(given.api, [name.lower() for name in (*local, *listening, *given.name)])
    uvicorn.run(
        door,
        host=given.host,
        port=given.port,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws_max_size=2**20,
        timeout_graceful_shutdown=3,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
