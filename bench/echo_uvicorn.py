"""The limit: a bare uvicorn and Starlette echo, `python -m bench.echo_uvicorn PORT`."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def echo(request: Request) -> JSONResponse:
    body = await request.json()
    return JSONResponse(body["text"])


async def livez(_: Request) -> JSONResponse:
    return JSONResponse("ok")


def main(port: int) -> None:
    app = Starlette(routes=[Route("/echo", echo, methods=["POST"]), Route("/livez", livez)])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
