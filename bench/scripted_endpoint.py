"""A cloud endpoint that answers at once and always the same.

`python -m bench.scripted_endpoint PORT USECASE`
"""

import json
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from feature_checks.usecase import UseCase, load_usecase

MODEL = "scripted"
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


async def livez(_: Request) -> JSONResponse:
    return JSONResponse("ok")


def completion(usecase: UseCase) -> bytes:
    """A chat completion whose content keeps the use case's output schema: what `safe_default` says."""
    message = {"role": "assistant", "content": json.dumps(usecase.safe_default), "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps(
        {"id": "1", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": USAGE}
    ).encode()


def main(port: int, usecase: str) -> None:
    body = completion(load_usecase(usecase))

    async def complete(request: Request) -> Response:
        await request.body()
        return Response(body, media_type="application/json")

    routes = [Route("/v1/chat/completions", complete, methods=["POST"]), Route("/livez", livez)]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
