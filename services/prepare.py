"""A use-case folder made ready to serve: rules, templates, prompt and schema read and checked, once.

Whatever is wrong in the folder is a `ConfigError` with file and place. What is merely not there, such
as an endpoint without settings, is not: the request then goes down the plan and says so.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from feature_checks.errors import UseCaseError
from feature_checks.usecase import UseCase
from services.errors import ConfigError
from services.guards import Guards
from services.kept_answers import AnswerShelf
from services.online_features import Bounds, HistoryStore, MemoryHistories, OnlineFeatures
from services.prepared import Policy, PreparedUseCase
from services.privacy.detect import Detector
from services.raised import Above, never_raised
from services.targets import Target, merge
from services.targets.answer_schema import load_answer_schema
from services.targets.chat import Chat
from services.targets.cloud import CloudTarget
from services.targets.fallback import SafeDefault
from services.targets.guarded import GuardedTarget
from services.targets.local import LocalModel, LocalTarget, Short, never_short
from services.targets.prompt import load_prompt
from services.targets.rule_graph import load_rules
from services.targets.rules import RulesTarget
from services.targets.stale import StaleTarget
from services.targets.templates import Templates, load_templates
from services.values import Envelope
from services.verify import Validator, VerifyContext, make_validators, verify


def prepare(
    usecase: UseCase,
    *,
    policy: Policy,
    detector: Detector,
    local: LocalModel | None,
    endpoints: Mapping[str, Chat],
    guards: Guards | None = None,
    shelf: AnswerShelf | None = None,
    histories: HistoryStore | None = None,
    clock: Callable[[], float] | None = time.time,
) -> PreparedUseCase:
    """Build the targets of the plan, in its order. Raises `ConfigError`.

    Without `guards` nothing bounds what cloud targets cost, or leaves out one that fails.
    """
    try:
        prepared = _prepare(usecase, policy, detector, local, endpoints, guards, shelf)
    except UseCaseError as error:
        raise ConfigError(str(error)) from error
    if usecase.features is None:
        return prepared
    store = histories or MemoryHistories()
    return replace(prepared, features=OnlineFeatures(usecase.features, store, clock, _bounds(usecase)))


def _bounds(usecase: UseCase) -> Mapping[str, Bounds]:
    return {
        name: (
            -math.inf if spec.minimum is None else spec.minimum,
            math.inf if spec.maximum is None else spec.maximum,
        )
        for name, spec in usecase.input.items()
        if spec.beyond == "noted"
    }


def local_target(usecase: UseCase, model: LocalModel, guards: Guards | None) -> LocalTarget:
    """Another model in the place of the use case's local target. Raises `ConfigError`."""
    return LocalTarget(
        usecase, model, load_templates(usecase), _short(usecase, guards), _above(usecase, guards)
    )


def _prepare(
    usecase: UseCase,
    policy: Policy,
    detector: Detector,
    local: LocalModel | None,
    endpoints: Mapping[str, Chat],
    guards: Guards | None,
    shelf: AnswerShelf | None,
) -> PreparedUseCase:
    templates = load_templates(usecase)
    context = VerifyContext(usecase, detector, _approved(usecase, templates))
    validators = make_validators(context)
    _check_safe_default(usecase, validators)
    targets: dict[str, Target] = {}
    missing: dict[str, str] = {}
    order: list[str] = []
    for step in usecase.plan:
        if step == "cloud":
            order += _add_cloud(usecase, endpoints, guards, targets, missing)
            continue
        order.append(step)
        if step == "rules":
            targets[step] = RulesTarget(load_rules(usecase))
        elif step == "local" and local is not None:
            targets[step] = LocalTarget(
                usecase, local, templates, _short(usecase, guards), _above(usecase, guards)
            )
        elif step == "local":
            missing[step] = f"no local model is set up; train one with `switchyard train {usecase.name}`"
        elif step == merge.NAME:
            targets[step] = merge.MergeTarget(load_rules(usecase, merge.FILE))
        elif step == "stale" and shelf is not None:
            targets[step] = StaleTarget(shelf)
        elif step == "safe_default":
            targets[step] = SafeDefault()
        else:
            raise ConfigError(
                f"{usecase.name}/usecase.yaml: plan: '{step}' is not served by this version; "
                "served: rules, local, cloud, merge, stale, safe_default"
            )
    return PreparedUseCase(usecase, policy, tuple(order), targets, validators, missing, _closed(targets))


def _add_cloud(
    usecase: UseCase,
    endpoints: Mapping[str, Chat],
    guards: Guards | None,
    targets: dict[str, Target],
    missing: dict[str, str],
) -> list[str]:
    """Targets of the cloud step in their order; an endpoint without settings is missing, not an error."""
    assert usecase.cloud is not None  # the use case's own check: a plan with cloud has its section
    prompt, schema = load_prompt(usecase), load_answer_schema(usecase)
    names = {name: f"cloud/{name}" for name in usecase.cloud.endpoints}
    for name, target in names.items():
        if name in endpoints:
            cloud = CloudTarget(endpoints[name], prompt, schema)
            targets[target] = (
                guards.around(cloud, endpoints[name], prompt, schema, usecase) if guards else cloud
            )
        else:
            missing[target] = "the endpoint has no settings; name it in SWITCHYARD_ENDPOINTS"
    return list(names.values())


def _closed(targets: Mapping[str, Target]) -> Callable[[str, Envelope], str | None]:
    guarded = {name: target for name, target in targets.items() if isinstance(target, GuardedTarget)}
    return lambda name, envelope: guarded[name].closed(envelope) if name in guarded else None


def _short(usecase: UseCase, guards: Guards | None) -> Short:
    return never_short if guards is None or usecase.cloud is None else guards.short(usecase)


def _above(usecase: UseCase, guards: Guards | None) -> Above:
    """Without `local.cost` in usecase.yaml no change of a threshold is obeyed."""
    local = usecase.local
    if guards is None or local is None or local.cost is None:
        return never_raised
    raised, highest = guards.thresholds.of(usecase.name), local.cost.highest
    return lambda digest: min(raised(digest), highest)


def _approved(usecase: UseCase, templates: Templates) -> tuple[str, ...]:
    """Texts that the team stands for: a model may repeat what is in them."""
    texts = [text for of in templates.values() for text in of.values()]
    return (*texts, *(value for value in usecase.safe_default.values() if isinstance(value, str)))


def _check_safe_default(usecase: UseCase, validators: Sequence[Validator]) -> None:
    """The last rung must hold: a default that breaks the output contract is refused at start."""
    nobody = Envelope("start", usecase.name, "", {}, frozenset(), "")
    if problem := verify(validators, usecase.safe_default, nobody, own_text=True):
        raise ConfigError(f"{usecase.name}/usecase.yaml: safe_default: {problem}")
