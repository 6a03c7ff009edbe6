"""Judges a version against the champion on the very rows that its signed evidence names.

The champion's guesses are made now, by its verified copy: a number that somebody kept would only be a claim.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from feature_checks.usecase import UseCase
from flows.contract.serving import schema_of
from flows.steps.files import build_dir
from flows.steps.prepared_rows import FEATURES, TEST, JudgedRows, judged_rows
from registry.contract_tests import CONTRACT_TESTS, parse_report
from registry.errors import ModelNotFound, PackageInvalid, PackageRefused, RegistryError, VersionRevoked
from registry.evidence import STATEMENT
from registry.loading import LoadedModel, load_placed, load_verified
from registry.log import read_log
from registry.model_schema import broken_promises
from registry.moves import moved
from registry.packages import VerifiedPackage
from registry.placing import PackageSource, placed_package
from registry.promise import Promise, promises
from registry.promoting import open_freeze
from registry.promotion import Candidate, Champion, PromotionDecision, PromotionPolicy, decide
from registry.records import ModelRef
from registry.runtimes import Predictor, judged, open_predictor
from registry.settings import RegistrySettings
from registry.trust import stage_of
from registry.trust_files import keys_for, read_trust

CHAMPION = "champion"
DATA = ("full", "sample")


@dataclass(frozen=True, slots=True)
class Judged:
    """The decision, and the champion that it was made against."""

    decision: PromotionDecision
    champion: ModelRef | None


@dataclass(frozen=True, slots=True)
class Leading:
    """What leads now. `unknown` says why there should be a champion and none can be compared with; `digest`
    is that of the version which the signed log names then, if it does."""

    model: LoadedModel | None
    unknown: str | None = None
    digest: str | None = None


def judge(
    package: VerifiedPackage,
    alias: str,
    usecase: UseCase,
    settings: RegistrySettings,
    leading: Leading,
    builds: Sequence[Path] | None = None,
) -> Judged:
    """May this verified version move to `alias`? `builds` are folders that may hold its rows.

    Raises `PackageInvalid` for evidence that cannot be read, `LogBroken`, `TrustInvalid`.
    """
    said, champion = _evidence(package), leading.model
    if builds is None:
        builds = [build_dir(usecase.name, which) for which in DATA]
    needed = champion is not None or usecase.promotion.always_judged
    rows = _rows(said.rows, usecase, builds) if needed else None
    right, promised = ([], ()) if rows is None else _judged(package, rows)
    candidate = Candidate(
        labels=package.manifest.labels,
        right=right,
        slices=[] if rows is None else rows.truth,
        data_checks_passed=said.data_checks_passed,
        barred=_barred(package, alias, settings),
        stage=stage_of(alias),
        contract_tests=_contract_tests(package),
        unjudged=None if rows is not None else _unjudged(usecase, said.rows[TEST]),
        broken=_broken(package, champion, settings),
        # A promotion that died before MLflow heard of it is done again by the same command.
        unled=None if leading.digest == package.digest else leading.unknown,
        promised=promised,
    )
    leads = None
    if champion is not None:
        leads = Champion(champion.labels, [] if rows is None else _right(champion.predictor, rows))
    asked = usecase.promotion.model_dump()
    asked["freeze"] = open_freeze(usecase.name, settings) or asked["freeze"]
    decision = decide(candidate, leads, PromotionPolicy(**asked))
    return Judged(decision, champion.ref if champion else None)


def champion_of(name: str, settings: RegistrySettings, source: PackageSource) -> Leading:
    """What leads, verified and loaded: the champion, or, where it was revoked, what serves instead.

    Nothing leads where nothing was promoted yet, or all of it was revoked. What MLflow lost, moved or spoilt
    is no such case: who can write it would choose by that what a candidate is compared with.
    """
    try:
        return Leading(load_verified(name, CHAMPION, settings, source))
    except (ModelNotFound, PackageRefused, PackageInvalid, VersionRevoked):
        pass
    try:
        return Leading(load_placed(name, CHAMPION, settings))
    except VersionRevoked:
        return Leading(None)
    except RegistryError:
        return _unknown(name, settings, source)


def _unknown(name: str, settings: RegistrySettings, source: PackageSource) -> Leading:
    """Nothing could be loaded: should there be something?"""
    advice = "place the champion here, promote it again, or let a person override"
    trust = read_trust(settings)
    try:
        ref = source.resolve(name, CHAMPION)
    except ModelNotFound:
        moves = [(e.key_id, m) for e in read_log(settings) if (m := moved(e, CHAMPION)) and m["name"] == name]
        if not moves or trust.why_revoked(moves[-1][1]["digest"], moves[-1][0]) is not None:
            return Leading(None)
        last = moves[-1][1]
        said = (
            f"the signed log lets version {last['version']} lead, and MLflow does not know of that; {advice}"
        )
        return Leading(None, said, last["digest"])
    except RegistryError as error:
        return Leading(None, f"what leads is not known: {error}")
    if trust.why_version_barred(ref.digest) is not None:
        return Leading(None)
    return Leading(None, f"version {ref.version} leads, and no copy of it can be verified here; {advice}")


@dataclass(frozen=True, slots=True)
class _Said:
    """What the signed statement says: role -> SHA-256 of the rows, and whether the data checks passed."""

    rows: Mapping[str, str]
    data_checks_passed: bool


def _evidence(package: VerifiedPackage) -> _Said:
    try:
        predicate = json.loads(package.read(STATEMENT))["predicate"]
        data = predicate["buildDefinition"]["resolvedDependencies"]
        rows = {}
        for role in (TEST, FEATURES):
            found = {item["digest"]["sha256"] for item in data if item["name"] == f"data/{role}"}
            if found or role == TEST:
                (rows[role],) = found
        passed = predicate["switchyard_model"]["check"]["passed"] is True
    except (ValueError, KeyError, TypeError) as error:
        raise PackageInvalid(
            f"package '{package.manifest.name}': {STATEMENT}: expected a statement that names the test rows "
            "and the data check; train it again with this version"
        ) from error
    return _Said(rows, passed)


def _broken(
    package: VerifiedPackage, champion: LoadedModel | None, settings: RegistrySettings
) -> tuple[str, ...] | None:
    """By the signed schemas of both: another version may serve by now than when this one was trained."""
    if champion is None:
        return None
    serving, new = schema_of(placed_package(champion.ref, settings)), schema_of(package)
    return broken_promises(serving, new) if serving and new else None


def _contract_tests(package: VerifiedPackage) -> tuple[str, ...] | None:
    if CONTRACT_TESTS not in package.files:
        return None
    return tuple(check.name for check in parse_report(package.read(CONTRACT_TESTS)).failed)


def _rows(named: Mapping[str, str], usecase: UseCase, builds: Sequence[Path]) -> JudgedRows | None:
    """The rows of those digests, from the first build folder that holds them."""
    return next((rows for build in builds if (rows := judged_rows(build, usecase, named))), None)


def _unjudged(usecase: UseCase, sha256: str) -> str:
    steps = ", ".join(f"`switchyard stage {step} {usecase.name}`" for step in ("fetch", "check", "prepare"))
    return (
        f"the rows that it was tested on (SHA-256 {sha256[:12]}…) are not in build/{usecase.name}/; "
        f"get them with {steps}, with --data full for the full data"
    )


def _barred(package: VerifiedPackage, alias: str, settings: RegistrySettings) -> str | None:
    keys = keys_for(settings, stage_of(alias))
    return next((key.barred for key in keys if key.key_id == package.key_id), "is not known")


def _judged(package: VerifiedPackage, rows: JudgedRows) -> tuple[list[bool], tuple[Promise, ...]]:
    """Which rows its best guess is right on, and what its acceptance rule would let through of them."""
    predictor = open_predictor(package)
    probabilities, confidences = judged(predictor, rows.inputs)
    answers = [predictor.labels[int(best)] for best in probabilities.argmax(axis=1)]
    right = [answer == label for answer, label in zip(answers, rows.truth, strict=True)]
    return right, promises(package.manifest.acceptance, answers, confidences.tolist(), right)


def _right(predictor: Predictor, rows: JudgedRows) -> list[bool]:
    guess = predictor.probabilities(rows.inputs).argmax(axis=1)
    return [predictor.labels[int(index)] == label for index, label in zip(guess, rows.truth, strict=True)]
