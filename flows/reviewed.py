"""How often were the local model's answers wrong, by the random sample of reviews?

Asked of `switchyard reviews estimate --json`, in a process of its own: reviews belong to the serving side,
which flows must not import. It corrects for how decisions were drawn.
"""

import json
import math
import subprocess
import sys

from feature_checks.drift import Share

DAYS = 30
_TIMEOUT_S = 120


def reviewed_wrong(usecase: str, days: int = DAYS) -> Share | str:
    """Wrong ones of the reviewed answers of route `local`, or why that is not known."""
    command = [
        sys.executable,
        "-m",
        "switchyard",
        "reviews",
        "estimate",
        usecase,
        "--days",
        str(days),
        "--json",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
        found = json.loads(done.stdout)["routes"].get("local") or {"reviewed": 0, "correctness": None}
        reviewed, correct = int(found["reviewed"]), found["correctness"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        return f"the reviews could not be asked ({type(error).__name__})"
    if correct is None or not math.isfinite(correct):
        return "no answer of the local model in the random sample was reviewed"
    return Share(round((1 - correct) * reviewed), reviewed)
