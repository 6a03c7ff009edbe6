"""The OpenAPI document says what the API does: valid, and complete."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema.validators import Draft202012Validator

from services.api.app import ENDPOINTS
from services.api.mount import OUTSIDE_V1
from services.api.openapi import openapi_document
from tests.fakes import support
from tests.served import Served, served

DOCUMENT = openapi_document([support()])


@pytest.fixture
async def app(home: Path) -> AsyncIterator[Served]:
    async with served(home) as running:
        yield running


def test_every_call_is_in_the_document_and_mounted() -> None:
    """No endpoint is undocumented, none is documented that is not there."""
    documented = {(path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item}
    served_paths = {(e.path, method) for e in ENDPOINTS for method in e.handlers}
    pages = {"/v1/openapi.json", "/v1/docs", *OUTSIDE_V1} - {"/.well-known/jwks.json"}
    assert documented == {(path, method) for path, method in served_paths if path not in pages}
    assert {path for path, _ in served_paths if not path.startswith("/v1/")} == set(OUTSIDE_V1)


def test_every_schema_is_a_schema() -> None:
    """Each is JSON Schema 2020-12, as OpenAPI 3.1 asks."""
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def _resolved(schema: Any) -> dict[str, Any]:
    return {"components": DOCUMENT["components"], **schema}


async def test_answers_and_errors_have_their_documented_form(app: Served) -> None:
    """A 200 and a 422 of `decide`, an OpenAI answer, a record."""
    responses = DOCUMENT["paths"]["/v1/decide"]["post"]["responses"]
    good = responses["200"]["content"]["application/json"]["schema"]
    answer = (await app.decide()).json()
    jsonschema.validate(answer, _resolved(good))
    bad = await app.client.post("/v1/decide", json={})
    jsonschema.validate(bad.json(), _resolved(DOCUMENT["components"]["schemas"]["Error"]))
    record = (await app.client.get(f"/v1/decisions/{answer['id']}")).json()
    jsonschema.validate(record, _resolved(DOCUMENT["components"]["schemas"]["Record"]))
    body = {"model": "support", "messages": [{"role": "user", "content": "hi"}]}
    chat = (await app.client.post("/v1/chat/completions", json=body)).json()
    jsonschema.validate(chat, _resolved(DOCUMENT["components"]["schemas"]["ChatCompletion"]))


async def test_the_pages_are_there_without_a_key(app: Served) -> None:
    """Document, docs page, metrics; none of them loads anything from elsewhere."""
    for path in ("/v1/openapi.json", "/v1/docs", "/docs", "/metrics"):
        answer = await app.client.get(path, headers={"authorization": ""})
        assert answer.status_code == 200
    assert "http" not in (await app.client.get("/v1/docs")).text.replace("http-equiv", "")
