"""A local model behind the `LocalModels` service, for `SWITCHYARD_LOCAL_MODELS_URL`."""

import logging
from collections.abc import Mapping
from typing import Any

import httpx

from registry.records import Contribution, Deferred
from services.errors import TargetFailed
from services.targets.local import Scored

log = logging.getLogger(__name__)


class RemoteModel:
    """One use case's model in another process. Every failure is a `TargetFailed` with its kind."""

    def __init__(self, client: httpx.AsyncClient, usecase: str) -> None:
        self._client = client
        self._usecase = usecase

    async def predict(self, fields: Mapping[str, object]) -> Scored:
        try:
            answer = await self._client.post(
                "/predict", json={"usecase": self._usecase, "fields": dict(fields)}
            )
        except httpx.TimeoutException:
            raise TargetFailed("timeout", "the local model service did not answer in time") from None
        except httpx.HTTPError as error:
            message = f"the local model service cannot be reached ({type(error).__name__})"
            raise TargetFailed("unreachable", message) from None
        if answer.status_code != httpx.codes.OK:
            raise TargetFailed(
                f"http_{answer.status_code}", f"the local model service answered {answer.status_code}"
            )
        try:
            said = answer.json()
            relaxed = said["relaxed"]
            return Scored(
                str(said["label"]),
                float(said["confidence"]),
                float(said["threshold"]),
                str(said["digest"]),
                float(said["max_error"]),
                None if relaxed is None else (float(relaxed[0]), float(relaxed[1])),
                tuple(Contribution(str(n), float(v), float(a)) for n, v, a in said["contributions"]),
                said["combined"],
                deferred=_deferred(said.get("deferred")),
            )
        except (ValueError, LookupError, TypeError):
            raise TargetFailed(
                "bad_response", "the local model service answered with something else"
            ) from None


def _deferred(said: Any) -> Deferred | None:
    """What a learned deferral told; a service of an older version says nothing of it."""
    if said is None:
        return None
    lowered = [
        Contribution(str(one["name"]), float(one["value"]), float(one["added"])) for one in said["lowered"]
    ]
    return Deferred(float(said["plain"]), tuple(lowered))


def local_models_client(url: str, timeout_s: float) -> httpx.AsyncClient:
    """One client for all use cases. It takes no proxy or login from the environment."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses
    return httpx.AsyncClient(base_url=url, timeout=timeout_s, trust_env=False)
