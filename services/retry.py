"""When the same endpoint may be asked again, and after how long: pure.

Safe is a failure after which nothing can have been generated or billed: no connection was made, or the
endpoint said itself that it did not answer. A timeout or a broken connection is not: the model may have
worked, and asking twice would cost twice. An endpoint that said when to come back is left alone until then
(its breaker sees to that), and nothing is asked again once a byte of its answer was given on.
"""

from services.errors import TargetFailed

SAFE = frozenset({"unreachable", "http_429", "http_500", "http_502", "http_503", "http_504"})
BASE_S = 0.1
CAP_S = 2.0
WORTH_S = 0.2
"""With less time left than this after the pause, asking again is not worth it."""


def pause_before_retry(failure: TargetFailed, turn: int, left_s: float, luck: float) -> float | None:
    """Seconds to wait before asking again; None: don't. `turn` counts from 0, `luck` is within [0, 1).

    Exponential with full jitter (Brooker 2015, "Exponential Backoff And Jitter"), so that workers whose
    calls failed at the same moment do not come back at the same moment.
    """
    if failure.kind not in SAFE or failure.cost_usd != 0 or failure.retry_after_s is not None:
        return None
    pause_s = luck * min(CAP_S, BASE_S * 2.0**turn)
    return pause_s if pause_s + WORTH_S <= left_s else None
