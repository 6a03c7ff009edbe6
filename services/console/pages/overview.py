"""The overview: is it well, who answers, how fast, at what cost. Anew every five seconds."""

from typing import Any

from fastapi import Request
from nicegui import ui

from services.console import overview
from services.console.client import Trouble
from services.console.pages.frame import Console, card, column, empty, framed, grid, table
from services.console.sessions import Session

EVERY_S = 5.0
_ROUTES = (
    column("route", "route"), column("count", "decisions", right=True), column("share", "share", right=True),
)  # fmt: skip
_BUDGETS = (
    column("use_case", "use case"), column("spent", "spent", right=True),
    column("reserved", "held", right=True), column("limit", "a day", right=True), column("level", "level"),
)  # fmt: skip


def add(console: Console) -> None:
    @ui.page("/")
    async def page(request: Request) -> None:
        session = console.session(request)

        @ui.refreshable
        async def body() -> None:
            await _body(console, console.session(request) if session.key else session)

        with framed(
            session, "/", "Overview", "Counts are of all tenants; money is your tenant's. Times are UTC."
        ):
            await body()
        ui.timer(EVERY_S, body.refresh, immediate=False)


async def _body(console: Console, session: Session) -> None:
    if not session.key:
        ui.navigate.to("/sign-in")
        return
    await console.watch.look() if not console.watch.samples else None
    samples = list(console.watch.samples)
    sample = samples[-1] if samples else None
    ready, why = None, None
    try:
        ready = await console.api.ready()
    except Trouble as error:
        why = error.message
    budgets, no_budgets = await _budgets(console, session)
    with grid("repeat(auto-fit, minmax(220px, 1fr))").classes(remove="items-start"):
        for one in overview.cards(sample, budgets):
            with ui.column().classes("sy-card gap-0"):
                ui.label(one.title).classes("sy-note")
                ui.label(one.value).classes("sy-value")
                ui.label(one.note).classes("sy-note")
    with grid("minmax(0, 2fr) minmax(0, 1fr)"):
        with card("Decisions a minute, by route", "the last hour, as far as this console has been looking"):
            chart = overview.rate_chart(samples)
            if chart["series"]:
                ui.echart(chart).classes("w-full h-72")
            else:
                empty("No decision since this console looks. Send one:", "POST /v1/decide (see /v1/docs)")
        with card("Who answered", "since the orchestrator started"):
            if sample and sum(sample.routes.values()):
                ui.echart(overview.share_chart(sample)).classes("w-full h-72")
            else:
                empty("Nothing was asked yet.")
    with grid("minmax(0, 1fr) minmax(0, 1fr)"):
        with card("Health"):
            for part in overview.parts(ready, sample, why):
                with ui.row().classes("w-full items-start no-wrap gap-3"):
                    ui.element("div").classes(f"sy-dot sy-{part.state}").tooltip(part.state)
                    ui.label(part.name).classes("w-40 shrink-0")
                    ui.label(part.detail).classes("sy-note").style("overflow-wrap: anywhere")
        with ui.column().classes("w-full gap-4 min-w-0"):
            with card("Routes"):
                rows = overview.route_rows(sample)
                table(_ROUTES, rows, "route") if rows else empty("Nothing was asked yet.")
            with card("Budget today", "your tenant's; the day is UTC"):
                if no_budgets:
                    empty(no_budgets)
                elif budgets:
                    table(_BUDGETS, overview.budget_rows(budgets), "use_case")
                else:
                    empty("No use case has a cloud section, so nothing costs money.")


async def _budgets(console: Console, session: Session) -> tuple[list[dict[str, Any]] | None, str]:
    if "auditor" not in session.roles:
        return None, "Needs a key with the role auditor."
    try:
        found: list[dict[str, Any]] = (await console.api.get(session, "/v1/budgets"))["budgets"]
    except Trouble as error:
        return None, error.message
    return found, ""
