"""Tells whoever started a flow how its steps go; the flow itself does not know who listens."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

What = Literal["started", "done", "failed", "stopped", "reused"]


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step started, ended, failed, was stopped from outside, or was reused from an earlier run."""

    step: str
    what: What
    seconds: float = 0.0


Listener = Callable[[StepEvent], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear of all steps that run inside the block."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell(event: StepEvent) -> None:
    """Say that something happened, if anyone listens."""
    if listener := _LISTENER.get():
        listener(event)


@contextlib.contextmanager
def timed(step: str) -> Iterator[None]:
    """Tell of the start and the end of a step."""
    tell(StepEvent(step, "started"))
    started = time.monotonic()
    try:
        yield
    except BaseException as error:
        what: What = "failed" if isinstance(error, Exception) else "stopped"
        tell(StepEvent(step, what, time.monotonic() - started))
        raise
    tell(StepEvent(step, "done", time.monotonic() - started))
