"""From a parsed body to a `Call`: which use case, which fields, in which context, until when."""

from collections.abc import Mapping
from typing import Any

from feature_checks.usecase import UseCase
from services.api.fields import InputFields, integer, kind, number, refuse_unknown, text
from services.api.forced import NONE
from services.errors import InputError, NotFound
from services.values import Call, Caller, Context, Expectation

BODY_KEYS = ("use_case", "input", "context")
CONTEXT_KEYS = ("subject", "session", "residency", "purpose", "max_latency_ms", "max_cost_usd")
MAX_REFERENCE = 256  # characters of `subject` and `session`
MAX_WORD = 32  # characters of `residency` and `purpose`


class CallReader:
    """Reads native calls for the use cases that are served: those that `serve` named last."""

    def __init__(self, timeout_s: float, usecases: Mapping[str, UseCase] | None = None) -> None:
        self._timeout_s = timeout_s
        self.serve(usecases or {})

    def serve(self, usecases: Mapping[str, UseCase]) -> None:
        """From now on these; what was read before goes on with what it was read for."""
        self._inputs = {name: InputFields(usecase) for name, usecase in usecases.items()}
        self._usecases = usecases

    def read(
        self, body: Any, call_id: str, caller: Caller, started: float, forced: Mapping[str, str] = NONE
    ) -> Call:
        """A native call. `started` (time.monotonic() seconds) is when its time began to run.

        Raises `InputError` or `NotFound`.
        """
        if not isinstance(body, dict):
            raise InputError("body", f"body: expected an object, got {kind(body)}")
        refuse_unknown("body", body, BODY_KEYS)
        for key in ("use_case", "input"):
            if key not in body:
                raise InputError(key, f"{key}: is missing")
        name = body["use_case"]
        if not isinstance(name, str):
            raise InputError("use_case", f"use_case: expected a string, got {kind(name)}")
        usecase = self.usecase(name, "use_case")
        context = self.context(body.get("context"))
        return self.call(usecase, body["input"], context, call_id, caller, started, forced=forced)

    def call(
        self,
        usecase: UseCase,
        given: object,
        context: Context,
        call_id: str,
        caller: Caller,
        started: float,
        expects: tuple[Expectation, ...] = (),
        forced: Mapping[str, str] = NONE,
    ) -> Call:
        """A call of a known use case, its input still to be checked."""
        fields = self._inputs[usecase.name].read(given)
        allowed_s = self._timeout_s
        if context.max_latency_ms is not None:
            allowed_s = min(allowed_s, context.max_latency_ms / 1000)
        return Call(call_id, usecase, caller, fields, context, started + allowed_s, expects, forced)

    def usecase(self, name: str, where: str) -> UseCase:
        """A use case by name. Raises `NotFound`, which names those that are served."""
        usecase = self._usecases.get(name)
        if usecase is None:
            raise NotFound(f"{where}: no such use case; served here: {', '.join(self._usecases) or 'none'}")
        return usecase

    def context(self, given: object) -> Context:
        """The caller's context, checked; null means not given. Raises `InputError`."""
        if given is None:
            return Context()
        if not isinstance(given, dict):
            raise InputError("context", f"context: expected an object, got {kind(given)}")
        refuse_unknown("context", given, CONTEXT_KEYS)
        given = {key: value for key, value in given.items() if value is not None}
        words = {key: text(f"context.{key}", given[key], 1, MAX_WORD) for key in _WORDS if key in given}
        references = {
            key: text(f"context.{key}", given[key], 1, MAX_REFERENCE) for key in _REFERENCES if key in given
        }
        latency, cost = given.get("max_latency_ms"), given.get("max_cost_usd")
        return Context(
            **references,
            **words,
            max_latency_ms=None if latency is None else integer("context.max_latency_ms", latency, 1, None),
            max_cost_usd=None if cost is None else number("context.max_cost_usd", cost, 0, None),
        )


_WORDS = ("residency", "purpose")
_REFERENCES = ("subject", "session")
