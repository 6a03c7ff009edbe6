"""Decisions: the newest of the own tenant, and one of them explained, with a place to check its receipt."""

import re

from fastapi import Request
from nicegui import events, ui

from services.console import rows
from services.console.client import Trouble
from services.console.pages.frame import Console, card, column, empty, framed, grid, table, trouble
from services.console.sessions import Session

PAGE = 50
_ID = re.compile(r"[0-9A-Za-z]{32}")
_COLUMNS = (
    column("at", "time (UTC)"), column("use_case", "use case"), column("route", "route"),
    column("input", "input, redacted", narrow=False), column("confidence", "confidence", right=True),
    column("latency", "latency", right=True), column("cost", "cost", right=True), column("degraded", ""),
)  # fmt: skip
_ATTEMPTS = (
    column("n", "#", right=True), column("target", "target"), column("outcome", "outcome"),
    column("reason", "why, and what would have changed it", narrow=False), column("policies", "policies"),
    column("latency", "latency", right=True), column("cost", "cost", right=True),
)  # fmt: skip


def add(console: Console) -> None:
    @ui.page("/decisions")
    async def page(request: Request, before: str = "") -> None:
        session = console.session(request)
        with framed(
            session, "/decisions", "Decisions", "Of your tenant, newest first. Contents are redacted."
        ):
            _finder()
            await _list(console, session, before if _ID.fullmatch(before) else "")

    @ui.page("/decisions/{decision_id}")
    async def one(request: Request, decision_id: str) -> None:
        session = console.session(request)
        with framed(session, "/decisions", "One decision", decision_id if _ID.fullmatch(decision_id) else ""):
            await _one(console, session, decision_id)


def _finder() -> None:
    def go() -> None:
        wanted = (field.value or "").strip()
        if _ID.fullmatch(wanted):
            ui.navigate.to(f"/decisions/{wanted}")
        else:
            ui.notify("A decision's id has 32 letters and digits.", type="warning")

    with ui.row().classes("items-center gap-2"):
        field = (
            ui.input(placeholder="find by decision id").props("dense outlined bg-color=white").classes("w-96")
        )
        field.on("keydown.enter", go)
        ui.button("Find", on_click=go).props("unelevated no-caps")


async def _list(console: Console, session: Session, before: str) -> None:
    query = {"before": before} if before else {}
    try:
        found = await console.api.get(session, "/v1/decisions", limit=PAGE, **query)
    except Trouble as error:
        trouble(error.message)
        return
    with card("Recent decisions"):
        if not found["decisions"]:
            empty("No decision yet. A key with the role caller can ask for one:",
                  "switchyard keys create --tenant <yours> --role caller")  # fmt: skip
            return
        shown = table(_COLUMNS, rows.decision_rows(found["decisions"]), "id")
        shown.on("row-click", _open).classes("cursor-pointer")
        with ui.row().classes("gap-4"):
            if before:
                ui.link("newest", "/decisions")
            if found["next"]:
                ui.link("older", f"/decisions?before={found['next']}")


def _open(event: events.GenericEventArguments) -> None:
    wanted = str(event.args[1].get("id", ""))
    if _ID.fullmatch(wanted):
        ui.navigate.to(f"/decisions/{wanted}")


async def _one(console: Console, session: Session, decision_id: str) -> None:
    if not _ID.fullmatch(decision_id):
        trouble("a decision's id has 32 letters and digits")
        return
    try:
        record = await console.api.get(session, f"/v1/decisions/{decision_id}")
    except Trouble as error:
        trouble(error.message)
        return
    with grid("minmax(0, 1fr) minmax(0, 1fr)"):
        with card("Asked and answered", "as it was recorded: redacted"):
            for title, fields in (
                ("input", (record.get("request") or {}).get("fields")),
                ("output", record.get("output")),
            ):
                ui.label(title).classes("sy-note")
                for name, value in rows.contents(fields) or [("", "nothing")]:
                    ui.label(f"{name}: {value}" if name else value).classes("sy-code w-full")
        with (
            card("What it stands on"),
            grid("150px minmax(0, 1fr)").classes("gap-x-4 gap-y-1", remove="gap-4"),
        ):
            for name, value in rows.facts(record):
                ui.label(name).classes("sy-note")
                ui.label(value).classes("sy-mono")
    with card("Attempts, in order"):
        attempts = rows.attempt_rows(record)
        table(_ATTEMPTS, attempts, "n") if attempts else empty("Retention removed what this record held.")
    with card(
        "Receipt", "The platform signs it for the caller and keeps no copy: paste the caller's to check it."
    ):
        _receipt(console, session, decision_id)


def _receipt(console: Console, session: Session, decision_id: str) -> None:
    async def check() -> None:
        said.clear()
        body = {"receipt": (field.value or "").strip(), "id": decision_id}
        try:
            good, sentence = rows.verdict_text(await console.api.post(session, "/v1/receipts/verify", body))
        except Trouble as error:
            good, sentence = False, error.message
        with said:
            ui.element("div").classes(f"sy-dot {'sy-ok' if good else 'sy-bad'}")
            ui.label(sentence)

    field = (
        ui.textarea(placeholder="eyJhbGciOi…")
        .props("outlined dense rows=3 maxlength=65536")
        .classes("w-full sy-mono")
    )
    with ui.row().classes("items-center gap-4"):
        ui.button("Check receipt", on_click=check).props("unelevated no-caps")
        said = ui.row().classes("items-start no-wrap gap-2")
