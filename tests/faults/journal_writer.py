"""A worker of its own for the journal's fault tests: appends records and says each id once it is recorded.

    python -m tests.faults.journal_writer FOLDER COUNT [interval|always]

With COUNT 0 it never stops by itself.
"""

import asyncio
import itertools
import sys
from pathlib import Path
from uuid import uuid4

from services.journal import Journal
from services.synthesis import Outcome
from services.values import Envelope

OUTPUT = {"reply": "An answer. " * 20, "label": "x"}
OUTCOME = Outcome("local", OUTPUT, "0" * 64, 0.9, False, (), (), ("output_schema",), {}, 0.0)


def envelope() -> Envelope:
    return Envelope(uuid4().hex, "any", "acme", {"text": "hello"}, frozenset(), "0" * 64)


async def main(folder: Path, count: int, sync: str) -> None:
    journal = Journal(folder, sync="always" if sync == "always" else "interval")
    for _ in range(count) if count else itertools.count():
        request = envelope()
        await journal.append(request, OUTCOME)
        sys.stdout.write(request.id + "\n")
        sys.stdout.flush()
    journal.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "interval"))
