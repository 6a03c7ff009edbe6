"""What all pages share: who is looking, the bar at the top, tables, what stands where there is nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from nicegui import ui

from services.console.client import ApiClient
from services.console.door import session_word
from services.console.sessions import Session, Sessions
from services.console.watch import Watch

PAGES = (
    ("/", "Overview", None),
    ("/decisions", "Decisions", "auditor"),
    ("/reviews", "Reviews", "reviewer"),
    ("/rollouts", "Rollouts", "auditor"),
)
"""Path, name, and the role that its contents take."""

_CSS = """
body { background: #f3f5f8; color: #1c2733; }
.sy-card { background: #fff; border: 1px solid #d8dee6; border-radius: 8px; padding: 16px 18px;
  min-width: 0; }
.sy-title { font-size: 15px; font-weight: 600; color: #1c2733; }
.sy-note { font-size: 12.5px; color: #5b6876; }
.sy-value { font-size: 24px; font-weight: 600; line-height: 1.3; white-space: nowrap; }
.sy-dot { width: 10px; height: 10px; border-radius: 50%; flex: none; margin-top: 5px; }
.sy-ok { background: #2f8f6b; } .sy-warn { background: #d98a2b; } .sy-bad { background: #b3423a; }
.sy-mono { font-family: ui-monospace, monospace; font-size: 12.5px; overflow-wrap: anywhere; }
.sy-code { background: #eef1f5; border-radius: 4px; padding: 6px 10px; font-family: ui-monospace, monospace;
  font-size: 12.5px; overflow-wrap: anywhere; }
.sy-table { width: 100%; border-radius: 0; }
.sy-table th { font-weight: 600; color: #5b6876; }
.sy-table td { white-space: normal !important; overflow-wrap: anywhere; vertical-align: top; }
.sy-table .sy-narrow { white-space: nowrap !important; overflow-wrap: normal; }
a.sy-nav { color: #c9d6e4; text-decoration: none; padding: 4px 2px; }
a.sy-here { color: #fff; font-weight: 600;
  border-bottom: 2px solid #fff; }
"""


@dataclass(frozen=True, slots=True)
class Console:
    """What the process lives with."""

    api: ApiClient
    sessions: Sessions
    watch: Watch

    def session(self, request: Request) -> Session:
        """Who is looking. The door lets nobody else in; one that ended just now cannot call the API."""
        found = self.sessions.find(session_word(request.headers.get("cookie", "")), used=False)
        return found or Session("", frozenset())


@contextmanager
def framed(session: Session, here: str, title: str, note: str = "") -> Iterator[None]:
    """The page's frame; what is built inside is its body."""
    ui.add_css(_CSS)
    ui.page_title(f"{title} · Switchyard")
    ui.colors(primary="#17324d")
    with ui.header().classes("items-center gap-6 px-6 py-2").style("background: #17324d"):
        ui.label("Switchyard").classes("text-lg font-semibold")
        for path, name, role in PAGES:
            if role is None or role in session.roles:
                ui.link(name, path).classes("sy-nav sy-here" if path == here else "sy-nav")
        ui.space()
        ui.label(", ".join(sorted(session.roles))).classes("text-sm opacity-75")
        ui.html('<form method="post" action="/sign-out"><button style="color:#fff;cursor:pointer">Sign out'
                "</button></form>", sanitize=False)  # fmt: skip
    with ui.column().classes("w-full max-w-[1360px] mx-auto p-4 gap-4"):
        with ui.column().classes("gap-0"):
            ui.label(title).classes("text-2xl font-semibold")
            if note:
                ui.label(note).classes("sy-note")
        yield


def card(title: str, note: str = "") -> ui.column:
    """A white box with a title, to be filled."""
    box = ui.column().classes("sy-card w-full gap-2")
    with box:
        ui.label(title).classes("sy-title")
        if note:
            ui.label(note).classes("sy-note")
    return box


def grid(columns: str) -> ui.grid:
    """Boxes side by side; `columns` as CSS has them."""
    return ui.grid().classes("w-full gap-4 items-start").style(f"grid-template-columns: {columns}")


def column(name: str, label: str, *, right: bool = False, narrow: bool = True) -> dict[str, Any]:
    """One table column; a `narrow` one does not wrap."""
    classes = {"classes": "sy-narrow", "headerClasses": "sy-narrow"} if narrow else {}
    return {"name": name, "label": label, "field": name, "align": "right" if right else "left", **classes}


def table(columns: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], key: str) -> ui.table:
    shown = ui.table(columns=list(columns), rows=list(rows), row_key=key)
    return shown.classes("sy-table").props("flat dense wrap-cells hide-bottom :rows-per-page-options=[0]")


def empty(text: str, command: str = "") -> None:
    """What stands where there is nothing yet, and what to do about it."""
    with ui.column().classes("w-full items-center gap-2 py-8"):
        ui.label(text).classes("sy-note")
        if command:
            ui.label(command).classes("sy-code")


def trouble(message: str) -> None:
    """Something could not be had; the rest of the page stands."""
    with ui.row().classes("sy-card w-full items-start no-wrap gap-3"):
        ui.element("div").classes("sy-dot sy-bad")
        ui.label(message[:1].upper() + message[1:])
