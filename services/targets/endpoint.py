"""One OpenAI-compatible endpoint: a question in, a bounded and checked reply out, every failure named.

Foreign exceptions are translated here, once. No message holds anything of prompt or reply.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI, AsyncStream, OpenAIError

from services.errors import TargetFailed, TargetRefused
from services.prices import UNPRICED, Prices, Usage
from services.settings import EndpointSettings
from services.targets.chat import ChatReply, Tell
from services.targets.chat_stream import WRONG_MODEL
from services.targets.endpoint_stream import read_stream
from services.targets.transport import EVENT_STREAM, BodyEncoded, BodyTooLarge, bounded_client

MAX_BODY_BYTES = 1024 * 1024
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_UNREADABLE_S = 60.0
_VERSION = re.compile(r"[-:@](\d{4}-\d{2}-\d{2}|\d{8}|\d{3,4}|v?\d+(\.\d+)+|latest)")
"""What may follow the asked name: a date or a version, not another model's name (`-mini`)."""


class ChatEndpoint:
    """A configured endpoint. Raises `TargetFailed`, or `TargetRefused` for a content filter."""

    def __init__(self, name: str, settings: EndpointSettings, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self.name = name
        self.model = settings.model
        self.region = settings.region
        self.on_premises = settings.on_premises
        self.attested = settings.attested
        self._echo = settings.echoes or settings.model
        self.prices = _prices(settings)
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs addresses, which may hold a password
        self._client = AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key.get_secret_value(),
            organization="",  # else taken from the environment, and sent to whoever this endpoint is
            project="",
            max_retries=0,
            http_client=bounded_client(max_body_bytes),
        )

    async def ask(
        self, system: str, user: str, response_format: Mapping[str, Any], max_tokens: int, timeout_s: float
    ) -> ChatReply:
        body = self._body(system, user, response_format, max_tokens)
        with _translated(timeout_s):
            # The library's own timeout is for each read, and a slow drip would pass it.
            async with asyncio.timeout(timeout_s):
                # `post` is what `chat.completions.create` ends in, without its walk over every parameter.
                response = await self._client.post(
                    "/chat/completions", body=body, cast_to=httpx2.Response, options={"timeout": timeout_s}
                )
        return _reply(response.content, self._echo)

    async def ask_streamed(
        self,
        system: str,
        user: str,
        response_format: Mapping[str, Any],
        max_tokens: int,
        timeout_s: float,
        idle_s: float,
        tell: Tell,
    ) -> ChatReply:
        body = self._body(system, user, response_format, max_tokens)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        with _translated(timeout_s):
            async with asyncio.timeout(timeout_s):
                stream = await self._client.post(
                    "/chat/completions",
                    body=body,
                    cast_to=object,
                    stream=True,
                    stream_cls=AsyncStream[object],
                    options={"timeout": timeout_s, "headers": {"Accept": EVENT_STREAM}},
                )
                try:
                    return await read_stream(
                        stream.response, partial(_is_model, asked=self._echo), idle_s, tell
                    )
                finally:
                    await stream.response.aclose()

    def _body(
        self, system: str, user: str, response_format: Mapping[str, Any], max_tokens: int
    ) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "max_tokens": max_tokens,
            "temperature": 0,
            "response_format": response_format,
        }

    async def aclose(self) -> None:
        await self._client.close()


def _prices(settings: EndpointSettings) -> Prices:
    """Unpriced unless somebody set both prices: one that nobody set is unknown, not free."""
    if not {"usd_per_million_input", "usd_per_million_output"} <= settings.model_fields_set:
        return UNPRICED
    return Prices.from_usd(
        settings.usd_per_million_input, settings.usd_per_million_output, settings.usd_per_million_cached
    )


def _is_model(said: object, asked: str) -> bool:
    """Endpoints may leave the name out, or say which version of the model it was."""
    if said is None or said == asked:
        return True
    return isinstance(said, str) and said.startswith(asked) and bool(_VERSION.fullmatch(said[len(asked) :]))


@contextmanager
def _translated(timeout_s: float) -> Iterator[None]:
    """Foreign exceptions as ours."""
    try:
        yield
    except (TimeoutError, APITimeoutError, httpx2.TimeoutException):
        raise TargetFailed("timeout", f"no answer within {timeout_s:.2f} s", cost_usd=None) from None
    except APIStatusError as error:
        raise _status(error) from None
    except APIConnectionError as error:
        raise _connection(error.__cause__) from None
    except httpx2.TransportError as error:  # while a stream is read, the library is not asked any more
        raise _connection(error) from None
    except OpenAIError as error:
        raise TargetFailed("client_error", f"could not be asked: {type(error).__name__}") from None


def _status(error: APIStatusError) -> TargetFailed | TargetRefused:
    status = error.status_code
    if error.code == "content_filter":
        return TargetRefused("the endpoint's content filter refused the request; that is final")
    if 300 <= status < 400:
        return TargetFailed("redirect", f"answered {status}, a redirect; none is followed")
    if status in (429, 503) and (wait_s := _retry_after_s(error)) is not None:
        message = f"answered {status}: ask again in {wait_s:g} s"
        return TargetFailed(f"http_{status}", message, retry_after_s=wait_s)
    return TargetFailed(f"http_{status}", f"answered {status}")


def _retry_after_s(error: APIStatusError) -> float | None:
    """RFC 9110, 10.2.3: seconds or a date; fractions too, as some send them. What cannot be read asks for a
    minute, since something was asked for; what it says is never repeated as it is."""
    said = error.response.headers.get("retry-after")
    if said is None:
        return None
    if _SECONDS.fullmatch(said):
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return _UNREADABLE_S


def _connection(cause: BaseException | None) -> TargetFailed:
    if isinstance(cause, BodyTooLarge):
        return TargetFailed("too_large", "its response was larger than an answer may be", cost_usd=None)
    if isinstance(cause, BodyEncoded):
        return TargetFailed("compressed", "its response was compressed, unasked", cost_usd=None)
    kind = type(cause).__name__ if cause is not None else "APIConnectionError"
    if kind in ("ConnectError", "ConnectTimeout"):
        return TargetFailed("unreachable", "cannot be reached")
    return TargetFailed("broken_connection", f"the connection broke ({kind})", cost_usd=None)


def _reply(body: bytes, model: str) -> ChatReply:
    """A chat completion, taken as strictly as we use it, of the model that was asked."""
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        finish = choice.get("finish_reason")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise TargetFailed("bad_response", "its response is not a chat completion", cost_usd=None) from None
    if not _is_model(data.get("model"), model):
        # Priced, tested and approved was another one; what this answer cost, nobody knows.
        raise TargetFailed("wrong_model", WRONG_MODEL, cost_usd=None)
    refused = bool(refusal) or finish == "content_filter"
    text = content if isinstance(content, str) else None
    raw = data.get("usage")
    usage = Usage.from_openai(raw) if isinstance(raw, dict) else None
    return ChatReply(text, str(finish), refused, usage)
