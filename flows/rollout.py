"""The controller's flow: judge every rollout that lives, move it, and leave each step's numbers in Prefect.

Scheduled every few seconds, and started by an event `switchyard.rollout`. Any number of runs may overlap:
what one moved, the others leave alone. Killed at any moment, the next run goes on.
"""

import asyncio
import base64
import io
import logging
import re
import time
from contextlib import suppress
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.runtime import flow_run

from flows.rollout_steps import one_tick, what_waits

log = logging.getLogger(__name__)

EVENT = "switchyard.rollout"
LISTEN_AGAIN_S = 5.0
LEAD_AGAIN_S = 60.0  # the gate loads and judges two models: where it is shut, not every few seconds


@flow(name="rollouts", persist_result=False)
def rollouts() -> list[dict[str, Any]]:
    """One tick; returns what was seen and done of each rollout."""
    done, led = one_tick(by=f"controller {flow_run.name}"[:128])
    shown = [ticked.shown() | {"lead": led.get(ticked.rollout.component)} for ticked in done]
    for one in shown:
        publish(one)
    return shown


async def control(every_s: float) -> None:
    """A run of the flow every `every_s` seconds while a rollout lives, and at once on an event, until
    cancelled. Needs a Prefect server. A run that fails is shown there, and the next one goes on."""
    wake, led_at = asyncio.Event(), -LEAD_AGAIN_S
    listening = asyncio.create_task(_listen(wake))
    try:
        while True:
            asked = wake.is_set()
            wake.clear()
            try:
                lives, waits = await asyncio.to_thread(what_waits)
                if lives or (waits and (asked or time.monotonic() - led_at >= LEAD_AGAIN_S)):
                    led_at = time.monotonic()
                    await asyncio.to_thread(rollouts)
            except Exception as error:  # noqa: BLE001  — a store that is away comes back
                log.error("a tick failed: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), every_s)
    finally:
        listening.cancel()


async def _listen(wake: asyncio.Event) -> None:
    wanted = EventFilter(event=EventNameFilter(name=[EVENT]))
    while True:
        try:
            async with get_events_subscriber(filter=wanted) as events:
                async for _ in events:
                    wake.set()
        except Exception as error:  # noqa: BLE001  — without events the schedule is left
            log.warning("events of Prefect cannot be read (%s); ticking by time alone", type(error).__name__)
        await asyncio.sleep(LISTEN_AGAIN_S)


def publish(shown: dict[str, Any]) -> None:
    """The step's numbers as a table, and both sides' rates as a picture."""
    key = re.sub(r"[^a-z0-9]+", "-", f"rollout-{shown['component']}".lower())
    said = f"{shown['component']}: {shown['moved'] or shown['outcome']}: {shown['reason']}"
    create_table_artifact(shown["findings"], key=key, description=said[:500])
    text = f"{said}\n\n![Both sides]({picture(shown)})"
    create_markdown_artifact(
        text, key=f"{key}-plot", description="Share of requests, stable beside candidate"
    )


def picture(shown: dict[str, Any]) -> str:
    """Rates of both sides, with the standard error of each, as an address that holds the whole image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    names = sorted({n for side in shown["sides"].values() for n in side if n != "keys"})
    for offset, (variant, side) in enumerate(sorted(shown["sides"].items())):
        rates = [_rate(side.get(name)) for name in names]
        places = [place + 0.4 * offset for place in range(len(names))]
        axes.bar(places, [r for r, _ in rates], 0.38, yerr=[e for _, e in rates], label=variant, capsize=3)
    axes.set_xticks([place + 0.2 for place in range(len(names))], names, fontsize=8)
    axes.set_ylabel("share of requests")
    axes.set_title(f"{shown['component']} at {shown['weight_percent']:g} %", fontsize=9)
    axes.legend(fontsize=8)
    drawn = io.BytesIO()
    FigureCanvasAgg(figure).print_png(drawn)
    return f"data:image/png;base64,{base64.b64encode(drawn.getvalue()).decode()}"


def _rate(counts: dict[str, int] | None) -> tuple[float, float]:
    if not counts or not counts["n"]:
        return 0.0, 0.0
    share = counts["hits"] / counts["n"]
    return float(share), float((share * (1 - share) / counts["n"]) ** 0.5)
