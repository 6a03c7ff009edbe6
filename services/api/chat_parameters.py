"""The parameters of OpenAI's chat call: which are honoured, which mean nothing here, which are refused.

A use case decides how it is answered, so what steers the sampling of one model means nothing: it is
ignored, and the response names it (`x-switchyard-ignored`). What would change the answer's form or effect,
and cannot be honoured, is refused. docs/guides/openai-client.md has this as a table.
"""

from collections.abc import Callable, Mapping

from services.api.fields import integer, kind, number, text
from services.errors import InputError

MAX_TOKENS = ("max_tokens", "max_completion_tokens")
HONOURED = (
    "model", "messages", "stream", "stream_options", "user", "metadata", "n", "response_format", *MAX_TOKENS,
)  # fmt: skip

_Check = Callable[[str, object], object]


def _number(low: float, high: float) -> _Check:
    return lambda where, value: number(where, value, low, high)


def _word(where: str, value: object) -> None:
    text(where, value, 1, 512)


def _boolean(where: str, value: object) -> None:
    if not isinstance(value, bool):
        raise InputError(where, f"{where}: expected true or false, got {kind(value)}")


def _prediction(where: str, value: object) -> None:
    if not isinstance(value, dict):
        raise InputError(where, f"{where}: expected an object, got {kind(value)}")


IGNORED: Mapping[str, _Check] = {
    "frequency_penalty": _number(-2, 2),
    "parallel_tool_calls": _boolean,
    "prediction": _prediction,
    "presence_penalty": _number(-2, 2),
    "prompt_cache_key": _word,
    "prompt_cache_retention": _word,
    "reasoning_effort": _word,
    "safety_identifier": _word,
    "seed": lambda where, value: integer(where, value, None, None),
    "service_tier": _word,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "verbosity": _word,
}
"""Mean nothing here, and change nothing. Still they must be what they are at OpenAI."""

ASKS_FOR_NOTHING: Mapping[str, tuple[object, ...]] = {
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "stop": ([],),
    "store": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
}
"""Values that some clients send and that ask for nothing; any other of these parameters is refused."""

REFUSED = frozenset({"audio", "moderation", "web_search_options"})


def check_parameters(body: Mapping[str, object]) -> tuple[str, ...]:
    """The names of those that are ignored, sorted. A parameter that is null asks for nothing.

    Raises `InputError` for what cannot be honoured. It repeats names of OpenAI's reference only: any other
    is the caller's text.
    """
    ignored: list[str] = []
    for name, value in body.items():
        if value is None:
            continue
        if name in IGNORED:
            IGNORED[name](name, value)
            ignored.append(name)
        elif name in ASKS_FOR_NOTHING:
            if not any(
                value == nothing and type(value) is type(nothing) for nothing in ASKS_FOR_NOTHING[name]
            ):
                raise _refused(name)
        elif name not in HONOURED:
            raise _refused(name if name in REFUSED else "a parameter")
    return tuple(sorted(ignored))


def _refused(name: str) -> InputError:
    if name == "n":
        return InputError("n", "n: expected 1; there is one answer to a request")
    message = f"{name}: is not supported here, since the use case decides how it is answered"
    return InputError("body", f"{message}; leave it out. Supported: {', '.join(HONOURED)}")
