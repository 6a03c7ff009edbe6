"""Local models as a service of their own: `bentoml serve services.local_models:LocalModels`.

For machines where several orchestrators share them; these set SWITCHYARD_LOCAL_MODELS_URL. By default
the models run in the orchestrator's own process, since a second one costs 3 ms a call.
"""

import asyncio
import gc
import logging
from dataclasses import asdict
from typing import Any

import bentoml
from bentoml.exceptions import NotFound, ServiceUnavailable

from services.service_config import local_models_config

log = logging.getLogger(__name__)


@bentoml.service(name="local-models", **local_models_config())
class LocalModels:
    """Verified local models. Gets redacted fields only, and logs nothing of them."""

    @bentoml.on_startup  # type: ignore[untyped-decorator]  # BentoML's are
    async def start(self) -> None:
        from feature_checks.usecase import load_usecase
        from registry.bundles import place_bundled
        from registry.settings import RegistrySettings
        from services.catalogue import build_shelf, load_usecases, local_models
        from services.settings import load_settings
        from services.usecase_watch import UseCaseWatch

        settings = load_settings()
        for refused in await asyncio.to_thread(place_bundled, RegistrySettings(home=settings.home)):
            log.error("%s", refused)
        usecases = load_usecases(settings)
        self.shelf = await asyncio.to_thread(build_shelf, settings, usecases.values())

        def model_of(name: str) -> str | None:
            usecase = load_usecase(name, settings.usecases_dir)
            self.shelf.follow(local_models([usecase]))
            return usecase.local.model if usecase.local else None

        self.models = UseCaseWatch(settings.usecases_dir, model_of)
        self.following = asyncio.create_task(self._follow(settings.model_poll_s))
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # BentoML's are
    async def stop(self) -> None:
        self.following.cancel()

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML's are
    async def predict(self, usecase: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Label, confidence, threshold and digest of the model that said it."""
        name = self.models.current.get(usecase)
        if name is None:
            raise NotFound("no such use case with a local model is served here")
        model = self.shelf.get(name)
        if model is None:
            raise ServiceUnavailable(self.shelf.problems.get(name, "its model is not loaded"))
        try:
            said = await model.predict(fields)
        except Exception as error:  # noqa: BLE001  — runtimes raise what they like
            # BentoML logs a traceback with values in it; the class name is what may be known.
            raise ServiceUnavailable(f"the model broke with {type(error).__name__}") from None
        return {
            "label": said.label,
            "confidence": said.confidence,
            "threshold": said.threshold,
            "max_error": said.max_error,
            "relaxed": said.relaxed,
            "digest": said.digest,
            "combined": said.combined,
            "contributions": [(one.name, one.value, one.added) for one in said.contributions],
            "deferred": None if said.deferred is None else asdict(said.deferred),
        }

    async def __is_ready__(self) -> bool:
        """Ready when every model is loaded, or as good as it gets: the problems say what is missing."""
        return any(self.shelf.get(name) is not None for name in self.models.current.values() if name)

    async def _follow(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        self.models.look()
        self.shelf.refresh()
