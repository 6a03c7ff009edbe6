"""The official OpenAI client against Switchyard: plain, structured, streamed, errors, route and receipt.

SWITCHYARD_URL=http://127.0.0.1:3000 SWITCHYARD_KEY=sk-… python docs/guides/openai_client.py
"""

import os
from typing import Any

import openai
from pydantic import BaseModel

USE_CASE = "support"
QUESTION = "Why was a fee taken when I used my card abroad?"


class Reply(BaseModel):
    """The fields that this application wants, of those that the use case answers."""

    reply: str
    intent: str


class Price(BaseModel):
    """Something that the use case does not answer."""

    price: float


def plain(client: openai.OpenAI) -> None:
    """The model is the use case. What the answer is, why, and its proof come with it."""
    raw = client.chat.completions.with_raw_response.create(
        model=USE_CASE,
        messages=[{"role": "user", "content": QUESTION}],
        user="customer-4711",  # kept as a keyed hash only
        metadata={"residency": "eu", "purpose": "service"},  # for access policy
        temperature=0.2,  # means nothing here
    )
    completion = raw.parse()
    print("answer ", completion.choices[0].message.content)
    print("route  ", raw.headers["x-switchyard-route"])
    print("ignored", raw.headers["x-switchyard-ignored"])
    provenance: Any = (completion.model_extra or {})["x_switchyard"]
    for reason in provenance["reasons"]:
        print("because", reason)
    verdict: Any = client.post(
        "/receipts/verify",
        cast_to=object,
        body={
            "receipt": raw.headers["x-switchyard-receipt"],
            "id": provenance["id"],
            "output": provenance["output"],
        },
    )
    print("receipt", "valid" if verdict["valid"] else verdict["reason"])


def structured(client: openai.OpenAI) -> None:
    """The answer as an object of the application's own class."""
    completion = client.chat.completions.parse(
        model=USE_CASE, messages=[{"role": "user", "content": QUESTION}], response_format=Reply
    )
    parsed = completion.choices[0].message.parsed
    assert parsed is not None
    print("intent ", parsed.intent)


def streamed(client: openai.OpenAI) -> None:
    """Pieces as they come; the last chunk holds route, reasons and receipt. A stream that breaks off
    raises `openai.APIError` while it is read: it never ends as if it were whole."""
    stream = client.chat.completions.create(
        model=USE_CASE, messages=[{"role": "user", "content": QUESTION}], stream=True
    )
    last, text = None, ""
    for chunk in stream:
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        last = chunk
    assert last is not None
    provenance: Any = (last.model_extra or {})["x_switchyard"]
    print("streamed", len(text), "characters by", provenance["route"])


def errors(client: openai.OpenAI) -> None:
    """The exceptions that applications handle already."""
    message: Any = [{"role": "user", "content": QUESTION}]
    try:
        client.chat.completions.parse(model=USE_CASE, messages=message, response_format=Price)
    except openai.UnprocessableEntityError as error:
        print("422", error.body["message"] if isinstance(error.body, dict) else error)
    try:
        client.models.retrieve("gpt-4o")
    except openai.NotFoundError as error:
        print("404", error.type)
    try:
        client.with_options(api_key="sk-wrong").models.list()
    except openai.AuthenticationError as error:
        print("401", error.type)


def main() -> None:
    base_url, key = os.environ["SWITCHYARD_URL"], os.environ["SWITCHYARD_KEY"]
    with openai.OpenAI(base_url=f"{base_url}/v1", api_key=key) as client:
        print("models ", ", ".join(model.id for model in client.models.list()))
        plain(client)
        structured(client)
        streamed(client)
        errors(client)


if __name__ == "__main__":
    main()
