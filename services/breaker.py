"""One circuit breaker: a frozen state and pure rules. `services.breakers` shares it among workers.

closed -> open        enough calls of the window failed, or were slow; or the endpoint said when to come back
open -> half_open     its time is over, and somebody claims a probe
half_open -> closed   every probe was good
half_open -> open     one probe failed or was slow: open for twice as long, up to a bound

Whenever the phase changes the epoch grows, and whatever belongs to an earlier epoch is ignored: the
late failure of a call made before the breaker closed again cannot open it. Times are milliseconds of
the store's clock; each event carries its own, so that events can be replayed.
"""

from dataclasses import dataclass, replace
from typing import Literal

Phase = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When an endpoint counts as bad, and how it is tried again.

    `probe_lease_s` is how long probes may be out before they count as lost (their worker was killed):
    longer than any call to the endpoint may take. `refresh_s` is how often workers compare notes.
    `max_told_s` bounds how long an endpoint that says so itself (`Retry-After`) is left alone.
    """

    window_s: int = 30
    min_calls: int = 10
    max_error_rate: float = 0.5
    slow_call_s: float = 5.0
    max_slow_rate: float = 0.8
    open_s: float = 5.0
    max_open_s: float = 60.0
    jitter: float = 0.2  # up to this share is added to each open time
    probes: int = 2
    probe_lease_s: float = 30.0
    refresh_s: float = 0.2
    max_told_s: float = 3600.0

    def __post_init__(self) -> None:
        good = (
            self.window_s >= 1
            and self.min_calls >= 1
            and 0 < self.max_error_rate <= 1
            and 0 < self.max_slow_rate <= 1
            and self.slow_call_s > 0
            and 0 < self.open_s <= self.max_open_s
            and 0 <= self.jitter <= 1
            and self.probes >= 1
            and self.probe_lease_s > 0
            and self.refresh_s > 0
            and self.max_told_s > 0
        )
        if not good:
            raise ValueError(
                "breaker settings: expected window_s, min_calls and probes of at least 1, rates in (0, 1],"
                f" jitter in [0, 1], open_s up to max_open_s, other times above 0; got {self}"
            )


@dataclass(frozen=True, slots=True)
class Breaker:
    """The shared state of one breaker.

    `until_ms`: open, when it may be probed; half open, when probes that are out count as lost.
    `opens`: how many times in a row it has opened. `granted`, `good`: probes of this half-open phase.
    """

    phase: Phase = "closed"
    epoch: int = 0
    until_ms: int = 0
    opens: int = 0
    granted: int = 0
    good: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls of the window."""

    calls: int = 0
    errors: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a breaker at `at_ms`.

    `trip`: the window was bad. `told`: the endpoint wants to be left alone for `wait_s`. `claim`: somebody
    wants to probe. `good`, `bad`, `unused`: how a probe of `epoch` ended (unused: the call was never made,
    or was given up). `luck`, within [0, 1), spreads the open times.
    """

    kind: Literal["trip", "told", "claim", "good", "bad", "unused"]
    at_ms: int
    epoch: int = 0
    reason: str = ""
    luck: float = 0.0
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BreakerState:
    """What a plan needs to know. `open`: leave it out, come back after `retry_after_s`."""

    phase: Phase
    reason: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call. Give it back with `record`, or `release` if there was no outcome."""

    endpoint: str
    epoch: int
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """No call just now; `retry_after_s` says when it is worth asking again."""

    reason: str
    retry_after_s: float


def step(breaker: Breaker, event: Event, settings: BreakerSettings) -> Breaker:
    """The breaker after `event`; the same one where the event changes nothing. A claim that changes
    nothing was not granted."""
    if event.kind == "claim":
        return _claimed(breaker, event.at_ms, settings)
    if event.epoch != breaker.epoch:
        return breaker
    if event.kind == "told":
        return _left_alone(breaker, event, settings) if breaker.phase != "open" else breaker
    if event.kind == "trip":
        return _opened(breaker, event, settings) if breaker.phase == "closed" else breaker
    if breaker.phase != "half_open":
        return breaker
    if event.kind == "bad":
        return _opened(breaker, event, settings)
    if event.kind == "unused":
        return replace(breaker, granted=max(breaker.granted - 1, breaker.good))
    if breaker.good + 1 < settings.probes:
        return replace(breaker, good=breaker.good + 1)
    return Breaker(epoch=breaker.epoch + 1, reason=f"{settings.probes} trial calls in a row were good")


def verdict(counts: Counts, settings: BreakerSettings) -> str | None:
    """Why these calls open a breaker, or None."""
    if counts.calls < settings.min_calls:
        return None
    if counts.errors >= settings.max_error_rate * counts.calls:
        return f"{counts.errors} of {counts.calls} calls failed within {settings.window_s} s"
    if counts.slow >= settings.max_slow_rate * counts.calls:
        return (
            f"{counts.slow} of {counts.calls} calls took {settings.slow_call_s:g} s or longer"
            f" within {settings.window_s} s"
        )
    return None


def view(breaker: Breaker, now_ms: int, settings: BreakerSettings) -> BreakerState:
    """What the breaker means now: an open one whose time is over is half open."""
    if breaker.phase == "closed":
        return BreakerState("closed", breaker.reason)
    if breaker.phase == "half_open" or _over(breaker, now_ms, settings):
        return BreakerState("half_open", f"on trial, since {breaker.reason}")
    left_s = (breaker.until_ms - now_ms) / 1000
    return BreakerState("open", f"{breaker.reason}; tried again in {left_s:.1f} s", left_s)


def _claimed(breaker: Breaker, now_ms: int, settings: BreakerSettings) -> Breaker:
    if breaker.phase == "closed":
        return breaker
    lease_until_ms = now_ms + round(settings.probe_lease_s * 1000)
    if _over(breaker, now_ms, settings):  # from open; or from half open, when the probes out are lost
        return replace(
            breaker, phase="half_open", epoch=breaker.epoch + 1, until_ms=lease_until_ms, granted=1, good=0
        )
    if breaker.phase == "half_open" and breaker.granted < settings.probes:
        return replace(breaker, granted=breaker.granted + 1, until_ms=lease_until_ms)
    return breaker


def _opened(breaker: Breaker, event: Event, settings: BreakerSettings) -> Breaker:
    doubled_s = settings.open_s * 2.0 ** min(breaker.opens, 30)
    open_s = min(doubled_s, settings.max_open_s) * (1 + settings.jitter * event.luck)
    until_ms = event.at_ms + round(open_s * 1000)
    return Breaker("open", breaker.epoch + 1, until_ms, breaker.opens + 1, reason=event.reason)


def _left_alone(breaker: Breaker, event: Event, settings: BreakerSettings) -> Breaker:
    """Open for as long as the endpoint said, and at least as for a fault: one that says "at once" again and
    again is not asked at once again and again."""
    opened = _opened(breaker, event, settings)
    until_ms = event.at_ms + round(min(event.wait_s, settings.max_told_s) * 1000)
    return replace(opened, until_ms=max(opened.until_ms, until_ms))


def _over(breaker: Breaker, now_ms: int, settings: BreakerSettings) -> bool:
    """Is `until_ms` reached? An end farther ahead than any can be means that the clock went back."""
    open_s = max(settings.max_open_s * (1 + settings.jitter), settings.max_told_s)
    longest_s = open_s if breaker.phase == "open" else settings.probe_lease_s
    left_ms = breaker.until_ms - now_ms
    return left_ms <= 0 or left_ms > longest_s * 1000 + 1
