"""What the commands of promotion do: look a version up, judge it, and carry out what was decided."""

from feature_checks.usecase import UseCase, load_usecase
from flows.errors import StepError
from flows.promotion import CHAMPION, champion_of, judge
from registry import promoting
from registry.errors import PromotionRefused
from registry.placing import bring, place
from registry.promotion import Gate, PromotionDecision
from registry.quick_reads import QuickReads
from registry.records import ModelRef
from registry.settings import RegistrySettings
from registry.store import Registry

NOT_TO_OVERRIDE = frozenset({"key"})
MAX_REASON = 500


def look(
    usecase_name: str, version: int | None, alias: str | None, to: str
) -> tuple[ModelRef, PromotionDecision, ModelRef | None]:
    """The version that is asked for, whether it may move to `to`, and the champion it was judged against."""
    usecase, name = _model(usecase_name)
    settings = RegistrySettings()
    registry = QuickReads(settings)
    ref = _asked(name, version, alias, registry)
    decision, champion = _judged(ref, to, usecase, settings, registry)
    return ref, decision, champion


def carry_out(
    usecase_name: str, version: int | None, alias: str | None, to: str, reason: str | None, override: bool
) -> tuple[ModelRef, PromotionDecision, ModelRef | None, bool]:
    """The same, and carried out. Raises `PromotionRefused`, `PromotionRaced`, and what placing raises."""
    if override:
        _check_reason(reason)
    usecase, name = _model(usecase_name)
    settings = RegistrySettings()
    registry = Registry(settings)
    with promoting.promoting(name, settings):
        ref = _asked(name, version, alias, registry)
        before = promoting.meant(name, to, registry)
        if before == ref:
            place(name, to, settings, registry)  # a run before may have died just before that
            done = PromotionDecision((Gate(to, True, f"this version is {to} already"),))
            return ref, done, before if to == CHAMPION else None, True
        decision, champion = _judged(ref, to, usecase, settings, registry)
        barred = [gate.said for gate in decision.gates if not gate.passed and gate.name in NOT_TO_OVERRIDE]
        if override and barred:
            raise PromotionRefused(f"not promoted, and no override helps: {barred[0]}")
        granted = promoting.promote(
            ref, to, decision, before, settings, registry, by=promoting.who(),
            override=reason if override and not decision.open else None,
        )  # fmt: skip
    return ref, decision, champion, granted


def take_back(usecase_name: str, alias: str, reason: str) -> str:
    """Let an alias mean nothing; returns a line that says so."""
    _check_reason(reason)
    _, name = _model(usecase_name)
    settings = RegistrySettings()
    registry = Registry(settings)
    with promoting.promoting(name, settings):
        promoting.withdraw(name, alias, reason, settings, registry, by=promoting.who())
    return f"{name}@{alias} means nothing now"


def set_freeze(usecase_name: str, reason: str, *, on: bool) -> str:
    """Begin or end a freeze; returns a line that says so. Raises `PromotionRefused` when it is so already."""
    _check_reason(reason)
    usecase, _ = _model(usecase_name)
    settings = RegistrySettings()
    if (promoting.open_freeze(usecase.name, settings) is not None) == on:
        raise PromotionRefused(
            f"'{usecase.name}' is {'frozen already' if on else 'not frozen'}; nothing was changed"
        )
    promoting.freeze(usecase.name, reason, settings, by=promoting.who(), on=on)
    return f"{usecase.name}: {'nothing is promoted until `unfreeze`' if on else 'promotions go on'}"


def _judged(
    ref: ModelRef, to: str, usecase: UseCase, settings: RegistrySettings, registry: Registry | QuickReads
) -> tuple[PromotionDecision, ModelRef | None]:
    package = bring(ref, settings, registry, "candidate")
    judged = judge(package, to, usecase, settings, champion_of(ref.name, settings, registry))
    return judged.decision, judged.champion


def _asked(name: str, version: int | None, alias: str | None, registry: Registry | QuickReads) -> ModelRef:
    if version is not None and alias is not None:
        raise PromotionRefused("expected --version or --alias, got both")
    if alias is not None:
        return registry.resolve(name, alias)
    return registry.newest(name) if version is None else registry.version(name, version)


def _model(usecase_name: str) -> tuple[UseCase, str]:
    usecase = load_usecase(usecase_name)
    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no `local:` section, so there is no model to promote")
    return usecase, usecase.local.model


def _check_reason(reason: str | None) -> None:
    if not reason or not reason.strip() or len(reason) > MAX_REASON:
        raise PromotionRefused(
            f"expected --reason with 1 to {MAX_REASON} characters: it is kept with your name"
        )
