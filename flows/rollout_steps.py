"""One step of the controller, as the flow, the command and the workflow share it: judge, move, make champion.

Before a model's candidate serves everybody, the gate of promotion is asked; where it is shut, the rollout
pauses and a person decides. What was promoted is served by every worker at once, and becomes champion here,
through the gate like any other version; where that is shut by now, the reason is told.
"""

import time
from collections.abc import Callable

from feature_checks.errors import FeatureCheckError
from flows.errors import FlowError
from registry.errors import RegistryError
from registry.placing import CHAMPION, placed_ref
from registry.rollout import Rollout, State
from registry.rollout_store import Rollouts, RolloutSettings
from registry.rollout_tick import Barred, Ticked, tick

Lead = Callable[[Rollout], str | None]
"""Makes a promoted candidate champion; a line that says what came of it, None where nothing is to be done."""


def one_tick(
    by: str, lead: Lead | None = None, barred: Barred | None = None
) -> tuple[list[Ticked], dict[str, str]]:
    """Every rollout that lives, judged and moved once, and component -> what came of a promoted one's lead.

    May be repeated at any point where it was killed. Raises `RolloutsUnavailable`.
    """
    lead, barred = lead or make_champion, barred or why_barred
    with Rollouts(RolloutSettings().rollouts) as kept:
        if not kept.database.made:
            return [], {}
        done = tick(kept, by=by, at_s=time.time(), barred=barred)
        promoted = [rollout for rollout in kept.served() if rollout.state is State.PROMOTED]
    led = {rollout.component: said for rollout in promoted if (said := lead(rollout)) is not None}
    return done, led


def what_waits() -> tuple[bool, bool]:
    """(Does a rollout live? Does a promoted one wait to lead?) Raises `RolloutsUnavailable`."""
    with Rollouts(RolloutSettings().rollouts) as kept:
        served = kept.served() if kept.database.made else []
    lives = any(not rollout.ended for rollout in served)
    return lives, any(rollout.ended and _waits_to_lead(rollout) for rollout in served)


def _waits_to_lead(rollout: Rollout) -> bool:
    usecase, _, part = rollout.component.partition("/")
    try:
        return part == "local" and _champion(usecase) == rollout.stable
    except (RegistryError, FeatureCheckError):
        return False


def why_barred(rollout: Rollout) -> str | None:
    """Why the gate would not let the candidate lead; None where it would, and for what is no model."""
    usecase, _, part = rollout.component.partition("/")
    if part != "local":
        return None
    from flows.promotion_commands import look

    advice = f"see `switchyard registry gate {usecase} --version {rollout.candidate}`"
    try:
        _, decision, _ = look(usecase, int(rollout.candidate), None, CHAMPION)
    except (RegistryError, FlowError, FeatureCheckError) as error:
        return f"the gate cannot be asked: {error}"
    return None if decision.open else f"the gate is shut: {decision.reason}; {advice}"


def make_champion(rollout: Rollout) -> str | None:
    """Through the gate, unless it leads already or another version than stable does."""
    usecase, _, part = rollout.component.partition("/")
    if part != "local":
        return None
    try:
        if _champion(usecase) != rollout.stable:
            return None
        from flows.promotion_commands import carry_out

        _, decision, _, granted = carry_out(usecase, int(rollout.candidate), None, CHAMPION, None, False)
    except (RegistryError, FlowError, FeatureCheckError) as error:
        return f"version {rollout.candidate} serves everybody, and is not champion yet: {error}"
    if granted:
        return f"version {rollout.candidate} is champion"
    why = f"the gate is shut: {decision.reason}"
    return f"version {rollout.candidate} serves everybody, and is not champion: {why}"


def _champion(usecase: str) -> str | None:
    from feature_checks.usecase import load_usecase
    from registry.settings import RegistrySettings

    local = load_usecase(usecase).local
    return str(placed_ref(local.model, CHAMPION, RegistrySettings()).version) if local else None
