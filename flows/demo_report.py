"""What the demo shows: tables and panels. Pure from values to rich renderables."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from flows.demo_callers import SeenOf
from flows.demo_traffic import Observed


def route_table(observed: Sequence[Observed], title: str) -> Table:
    """Messages, correct share, median and p95 latency and cost for each route, and in all."""
    caption = "correct: of the messages that have a label"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=SIMPLE_HEAD)
    for name in ("answered by", "messages", "share", "correct", "median", "p95", "cost"):
        table.add_column(name, justify="left" if name == "answered by" else "right", no_wrap=True)
    for route in sorted({o.route for o in observed}, key=_route_order):
        table.add_row(route, *_row([o for o in observed if o.route == route], len(observed)))
    table.add_section()
    table.add_row("all", *_row(observed, len(observed)), style="bold")
    return table


def callers_table(seen: Sequence[SeenOf]) -> Table:
    """What callers got of each configuration, in the order in which they met it."""
    table = Table(title="What callers got", title_justify="left", box=SIMPLE_HEAD)
    for name in ("configuration", "answers", "wrong", "requests that failed"):
        table.add_column(name, justify="left" if name == "configuration" else "right")
    for one in seen:
        share = f"{100 * one.wrong / one.answers:.1f} %" if one.answers else "–"
        table.add_row(one.name, str(one.answers), share, str(one.failed))
    return table


def _row(part: Sequence[Observed], total: int) -> list[str]:
    labelled = [o.correct for o in part if o.correct is not None]
    latency = np.array([o.latency_ms for o in part])
    correct = f"{100 * np.mean(labelled):.1f} %" if labelled else "–"
    return [
        str(len(part)),
        f"{100 * len(part) / total:.1f} %",
        correct,
        _ms(float(np.median(latency))),
        _ms(float(np.percentile(latency, 95))),
        f"${sum(o.cost_usd for o in part):.4f}",
    ]


def _ms(value: float) -> str:
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def _route_order(route: str) -> int:
    known = ("rules", "cache", "local", "cloud", "merge", "stale", "safe_default")
    return known.index(route.split("/")[0])


def answer_panel(title: str, asked: Mapping[str, object], answer: Mapping[str, Any], receipt: str) -> Panel:
    """One question, its answer, why, and what the offline verifier said of its receipt."""
    text = Text()
    _line(text, "asked", _fields(asked))
    for name, value in answer["output"].items():
        _line(text, name, str(value))
    _line(text, "route", answer["route"] + ("  (degraded)" if answer["degraded"] else ""))
    for reason in answer["reasons"]:
        _line(text, "because", reason)
    _line(text, "receipt", receipt)
    return Panel(text, title=title, title_align="left")


def egress_panel(title: str, asked: Mapping[str, object], sent: Sequence[bytes], secret: str) -> Panel:
    """What the caller typed, and the bytes of every request that left the machine instead."""
    text = Text()
    _line(text, "typed here", _fields(asked))
    for body in sent:
        said = next(m["content"] for m in reversed(json.loads(body)["messages"]) if m["role"] == "user")
        _line(text, "sent there", " ".join(str(said).split()))
    leaked = any(secret in body.decode("utf-8", errors="replace") for body in sent)
    verdict = "the number is not in the bytes sent" if sent else "nothing left: it was answered here"
    _line(text, "checked", "THE SECRET LEFT THE MACHINE" if leaked else verdict)
    return Panel(text, title=title, title_align="left")


def _line(text: Text, name: str, value: str) -> None:
    text.append(f"{name:>11}  ", style="dim")
    text.append(value.strip() + "\n")


def _fields(fields: Mapping[str, object]) -> str:
    return "  ".join(str(v) for v in fields.values())
