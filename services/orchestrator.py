"""The orchestrator: `bentoml serve services.orchestrator:Orchestrator`.

BentoML packages, starts, scales and watches it. What it answers is the mounted ASGI app, so read on in
`services/api/app.py`, then `services/pipeline.py`. Imports are late where only a worker needs them.
"""

import gc
import subprocess
import sys

import bentoml

from services.api.front import Front
from services.api.heads import bound_request_heads
from services.api.mount import Api
from services.children import child_environment
from services.service_config import orchestrator_config
from services.settings import load_settings

api = Api()
# Here, since BentoML builds its server after importing this file and before any hook of ours runs.
bound_request_heads(load_settings().header_timeout_s)


@bentoml.service(name="orchestrator", **orchestrator_config())
@bentoml.asgi_app(api)
class Orchestrator:
    """Each request is answered by the cheapest and safest thing that can answer it correctly."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # BentoML's are
    @staticmethod
    def check() -> None:
        """Once, before any worker: refuse to start with one readable message."""
        command = [sys.executable, "-m", "services.preflight"]
        if subprocess.run(command, env=child_environment(), check=False).returncode != 0:
            raise SystemExit(1)

    @bentoml.on_startup  # type: ignore[untyped-decorator]  # BentoML's are
    async def start(self) -> None:
        from services.api.app import Dispatcher
        from services.bootstrap import bootstrap

        self.runtime = bootstrap(load_settings())
        await self.runtime.__aenter__()
        dispatcher = Dispatcher(self.runtime)
        api.start(dispatcher, dispatcher.ready)
        # A full collection of this heap takes 18-75 ms; what is there now will stay anyway.
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # BentoML's are
    async def stop(self) -> None:
        await self.runtime.aclose()


Orchestrator.add_asgi_middleware(Front, api=api)  # type: ignore[attr-defined]  # the decorator's
