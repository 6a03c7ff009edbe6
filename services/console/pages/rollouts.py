"""Rollouts: where each stands, and every move that led there, by whom and why."""

from fastapi import Request
from nicegui import ui

from services.console import rows
from services.console.client import Trouble
from services.console.pages.frame import Console, card, column, empty, framed, table, trouble

_MOVES = (
    column("at", "time (UTC)"), column("move", "move"), column("weight", "candidate gets", right=True),
    column("by", "by"), column("reason", "why", narrow=False),
)  # fmt: skip


def add(console: Console) -> None:
    @ui.page("/rollouts")
    async def page(request: Request) -> None:
        session = console.session(request)
        with framed(session, "/rollouts", "Rollouts", "Newest first. `switchyard rollout` moves them."):
            try:
                found = rows.rollout_rows((await console.api.get(session, "/v1/rollouts"))["rollouts"])
            except Trouble as error:
                trouble(error.message)
                return
            if not found:
                with card("No rollout yet"):
                    empty("A rollout brings a new version to users step by step. Start one:",
                          "switchyard rollout start <usecase>/local --candidate <version>")  # fmt: skip
            for one in found:
                note = f"{one['state']}, candidate gets {one['weight']} of requests, since {one['since']}"
                with card(f"{one['component']}: {one['change']}", note):
                    table(_MOVES, one["moves"], "at")
