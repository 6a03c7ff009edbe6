"""Reviews: what waits for a person, and a place to say what is right, all through the HTTP API."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import Request
from nicegui import events, ui

from services.console import rows
from services.console.client import Trouble
from services.console.pages.frame import Console, card, column, empty, framed, table, trouble
from services.console.sessions import Session

_COLUMNS = (
    column("at", "since (UTC)"), column("use_case", "use case"), column("why", "why"),
    column("input", "input, redacted", narrow=False), column("seen", "seen", right=True), column("held", ""),
)  # fmt: skip


def add(console: Console) -> None:
    @ui.page("/reviews")
    async def page(request: Request) -> None:
        session = console.session(request)

        @ui.refreshable
        async def queue() -> None:
            await _queue(console, session, take)

        async def take(review_id: str) -> None:
            try:
                taken = (await console.api.post(session, f"/v1/reviews/{review_id}", {"take": True}))[
                    "review"
                ]
            except Trouble as error:
                ui.notify(error.message, type="warning")
                return
            if taken is None:
                ui.notify("Nothing is free to be reviewed just now.")
                return
            labels = await _labels(console, session, taken["use_case"])
            desk.clear()
            with desk:
                _case(console, session, taken, labels, done)

        async def done() -> None:
            desk.clear()
            await queue.refresh()

        note = "Of your tenant, the most valuable first. Your word goes into the journal with your key's id."
        with framed(session, "/reviews", "Reviews", note):
            desk = ui.column().classes("w-full")
            await queue()


async def _queue(console: Console, session: Session, take: Callable[[str], Awaitable[None]]) -> None:
    try:
        found = (await console.api.get(session, "/v1/reviews", limit=100))["reviews"]
    except Trouble as error:
        trouble(error.message)
        return
    with card(f"Waiting: {len(found)}{' or more' if len(found) == 100 else ''}"):
        if not found:
            empty("Nothing waits. `review:` in usecase.yaml says which decisions come here: unsure ones, "
                  "refused ones, a random sample.")  # fmt: skip
            return

        async def opened(event: events.GenericEventArguments) -> None:
            await take(str(event.args[1].get("id", "")))

        async def following() -> None:
            await take("next")

        ui.button("Review the next one", on_click=following).props("unelevated no-caps")
        table(_COLUMNS, rows.review_rows(found), "id").on("row-click", opened).classes("cursor-pointer")


def _case(
    console: Console,
    session: Session,
    review: Mapping[str, Any],
    labels: list[str],
    done: Callable[[], Awaitable[None]],
) -> None:
    """One case that this reviewer holds."""

    async def say(**body: Any) -> None:
        try:
            told = await console.api.post(session, f"/v1/reviews/{review['id']}", body)
        except Trouble as error:
            ui.notify(error.message, type="warning")
            return
        given_back = "release" in body
        ui.notify("Given back." if given_back else "Recorded." if told.get("resolved") else
                  "Recorded; another reviewer must say the same.", type="positive")  # fmt: skip
        await done()

    async def label() -> None:
        if choice.value:
            await say(label=choice.value)

    with card(
        "Your case", f"{review['use_case']}, answered by {review['route']}; held for you until it is said"
    ):
        for title, fields in (("input", review["input"]), ("answer", review["output"])):
            ui.label(title).classes("sy-note")
            for name, value in rows.contents(fields) or [("", "nothing answered")]:
                ui.label(f"{name}: {value}" if name else value).classes("sy-code w-full")
        with ui.row().classes("items-center gap-3 w-full"):
            if review["output"]:
                ui.button("The answer is right", on_click=lambda: say(correct=True)).props(
                    "unelevated no-caps"
                )
                ui.button("It is wrong", on_click=lambda: say(correct=False)).props("outline no-caps")
            if labels:
                choice = ui.select(labels, label="right label", with_input=True).props("dense outlined")
                choice.classes("w-72")
                ui.button("Say this label", on_click=label).props("unelevated no-caps")
            ui.space()
            ui.button("Give back", on_click=lambda: say(release=True)).props("flat no-caps")


async def _labels(console: Console, session: Session, use_case: str) -> list[str]:
    try:
        return rows.labels_of(await console.api.get(session, "/v1/openapi.json"), use_case)
    except Trouble:
        return []  # right or wrong can be said all the same
