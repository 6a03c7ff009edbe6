"""How numbers, times and records read for people. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

NOTHING = "–"
ROUTE_COLOURS = {
    "rules": "#2a6f97",
    "cache": "#7b6fb0",
    "local": "#2f8f6b",
    "cloud": "#d98a2b",
    "merge": "#5f6f52",
    "stale": "#9a8c5a",
    "safe_default": "#8a94a0",
    "none": "#b3423a",
}


def colour(route: str) -> str:
    """A route's colour, the same on every page; all cloud endpoints share one."""
    return ROUTE_COLOURS.get(route.partition("/")[0], "#8a94a0")


def percent(share: float | None) -> str:
    if share is None:
        return NOTHING
    return ">99.9%" if 0.9995 <= share < 1 else f"{share:.1%}"


def usd(value: float | None) -> str:
    if value is None:
        return "not known"
    if value == 0:
        return "$0"
    return f"${value:.2f}" if value >= 1 else f"${value:.4f}" if value >= 0.0001 else f"${value:.2g}"


def millis(ms: float | None) -> str:
    if ms is None:
        return NOTHING
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


def when(at: str | float | None) -> str:
    """UTC, to the second, of ISO 8601 or seconds since 1970."""
    if at is None:
        return NOTHING
    try:
        moment = (
            datetime.fromtimestamp(at, UTC) if isinstance(at, float | int) else datetime.fromisoformat(at)
        )
    except ValueError:
        return NOTHING
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def brief(fields: Mapping[str, Any] | None, characters: int = 110) -> str:
    """A record's fields on one line. One field: its value alone."""
    if not fields:
        return NOTHING
    values = [f"{value}" for value in fields.values() if value is not None]
    names = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    line = " ".join((values[0] if len(values) == 1 else " · ".join(names)).split()) if values else NOTHING
    return line if len(line) <= characters else f"{line[: characters - 1]}…"
