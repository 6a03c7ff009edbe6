"""`Idempotency-Key`: a repeated request gets the first answer again; it is never answered twice.

What is kept is redacted. The same body gives the same placeholders, so the caller's own originals come
back from the request that is repeated, not from anything that we stored.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from services.api.messages import Response, respond
from services.errors import InputError
from services.keys import utc_now
from services.privacy.hashing import keyed_hash
from services.runtime import Runtime
from services.state.repeats import FIELD, Kept
from services.values import Call, Decision

REPLAYED = (b"idempotent-replayed", b"true")
WORK_MARGIN_S = 5.0

_KEY = re.compile(r"[\x21-\x7e]{1,200}")


async def answer_once(
    key: str,
    body: bytes,
    call: Call,
    runtime: Runtime,
    work: Callable[[], Awaitable[Decision]],
    as_json: Callable[[Decision], dict[str, Any]],
) -> Response:
    """Do the work, or give the answer that was given before.

    Raises `InputError` for an unusable key or one used with another body, `Conflict` while the first
    request is at work, and whatever `work` raises; a failed request may be repeated.
    """
    if not _KEY.fullmatch(key):
        raise InputError(FIELD, f"{FIELD}: expected 1 to 200 visible ASCII characters")
    tenant = call.caller.tenant
    key_hash = keyed_hash(runtime.hash_key, "idem", tenant, key)
    body_hash = keyed_hash(runtime.hash_key, "body", tenant, body.decode("utf-8"))
    work_s = max(0.0, call.deadline - time.monotonic()) + WORK_MARGIN_S
    repeats = runtime.repeats
    kept = await asyncio.to_thread(repeats.begin, tenant, key_hash, body_hash, call.id, utc_now(), work_s)
    if kept is not None:
        return respond(_restored(kept, call, runtime), 200, REPLAYED)
    try:
        decision = await work()
    except BaseException:
        await asyncio.shield(asyncio.to_thread(repeats.abandon, tenant, key_hash))
        raise
    answer = as_json(decision)
    redacted = json.dumps({**answer, "output": dict(decision.redacted)})
    await asyncio.to_thread(repeats.keep, tenant, key_hash, redacted, utc_now())
    return respond(answer)


def _restored(kept: Kept, call: Call, runtime: Runtime) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(kept.response)
    answer["output"] = runtime.pipeline.reveal(replace(call, id=kept.request_id), answer["output"])
    return answer
