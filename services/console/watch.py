"""Looks at the orchestrator's metrics every few seconds, and remembers an hour of it in memory."""

import asyncio
import logging
import time
from collections import deque

from services.console.client import ApiClient, Trouble
from services.console.samples import Sample, read_sample

log = logging.getLogger(__name__)

EVERY_S = 5.0
KEPT = 720


class Watch:
    """`samples`, oldest first. `trouble`: why the last look failed, or None."""

    def __init__(self, api: ApiClient, every_s: float = EVERY_S) -> None:
        self._api = api
        self._every_s = every_s
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self.trouble: str | None = None

    async def look(self) -> None:
        try:
            self.samples.append(read_sample(await self._api.metrics(), time.time()))
            self.trouble = None
        except Trouble as trouble:
            self.trouble = trouble.message
        except (ValueError, KeyError):
            self.trouble = "what /metrics answers cannot be read: is this a Switchyard orchestrator?"

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            before = self.trouble
            await self.look()
            if self.trouble and self.trouble != before:
                log.warning("metrics: %s", self.trouble)
            await asyncio.sleep(self._every_s)
