"""Generated requests against the OpenAPI document: no input makes a 5xx."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from services.api.openapi import openapi_document
from tests.fakes import support
from tests.served import Served, served

SCHEMA = schemathesis.openapi.from_dict(openapi_document([support()]))
EXAMPLES = 20  # of either kind, for each operation


@pytest.fixture
async def app(home: Path) -> AsyncIterator[Served]:
    async with served(home) as running:
        yield running


@pytest.mark.integration
@pytest.mark.parametrize(
    "operation",
    [result.ok() for result in SCHEMA.get_all_operations()],
    ids=lambda operation: operation.label,
)
async def test_no_request_makes_a_5xx(app: Served, operation: Any) -> None:
    """Requests that fit the document and requests that do not get a documented status, never a 5xx."""
    loop = asyncio.get_running_loop()
    documented = {int(code) for code in operation.definition.raw["responses"]}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any) -> None:
        sent = case.as_transport_kwargs(base_url="http://switchyard")
        sent.pop("cookies", None)
        if (body := sent.pop("data", None)) is not None:
            sent["content"] = body
        sent["headers"] = {k: v for k, v in sent["headers"].items() if k.lower() != "authorization"}
        answer = asyncio.run_coroutine_threadsafe(app.client.request(**sent), loop).result(30)
        assert answer.status_code < 500, answer.text
        assert answer.status_code in documented

    await asyncio.to_thread(given(case=operation.as_strategy())(send))
    with suppress(Unsatisfiable):  # where nothing can be given, nothing can be given wrong
        await asyncio.to_thread(given(case=operation.as_strategy(GenerationMode.NEGATIVE))(send))
