"""Evidence speaks of the very files that lie beside it, or the package is refused."""

import json
from collections.abc import Mapping
from typing import Any

from registry.contract_tests import CONTRACT_TESTS
from registry.errors import PackageRefused
from registry.evidence import CARD, STATEMENT
from registry.packages import MANIFEST, VerifiedPackage

TYPE = "https://in-toto.io/Statement/v1"
UNNAMED = frozenset({MANIFEST, STATEMENT, CARD})
"""Files that are no subjects: the statement is written before the first, and cannot name itself."""

_ADVICE = "train and sign it again: this evidence is about another model"


def check_evidence(package: VerifiedPackage) -> None:
    """Raises `PackageRefused` when the in-toto statement names other files or digests than are there.

    The signature shows who vouches for these bytes; this, that what is said in them is said about them.
    """
    shown = f"'{package.manifest.name}'"
    said = _statement(package, shown)
    named = _subjects(said, shown)
    files = {name: digest for name, digest in package.files.items() if name not in UNNAMED}
    for name in sorted(named.keys() | files.keys()):
        if named.get(name) != files.get(name):
            expected = f"'{name}' with SHA-256 {files.get(name, 'of no file: there is none')}"
            got = f"evidence about {named.get(name, 'none such')}"
            raise PackageRefused(shown, STATEMENT, expected, got, _ADVICE)
    _check_report(said, files, shown)


def _statement(package: VerifiedPackage, shown: str) -> Mapping[str, Any]:
    """What is no in-toto statement says nothing of where the model came from, whoever signed it."""
    got = "none"
    if STATEMENT in package.files:
        try:
            said = json.loads(package.read(STATEMENT))
        except (ValueError, RecursionError):
            said, got = None, "no JSON"
        if isinstance(said, dict):
            if said.get("_type") == TYPE:
                return said
            got = "JSON of another type"
    advice = "train and sign it again: `switchyard train` writes the evidence"
    raise PackageRefused(shown, STATEMENT, "an in-toto statement, version 1", got, advice)


def _subjects(said: Mapping[str, Any], shown: str) -> dict[str, str]:
    try:
        found = {item["name"]: item["digest"]["sha256"] for item in said["subject"]}
    except (KeyError, TypeError):
        found = {}
    if not found or len(found) != len(said["subject"]):
        raise PackageRefused(shown, STATEMENT, "subjects with a SHA-256, each named once", "none", _ADVICE)
    return found


def _check_report(said: Mapping[str, Any], files: Mapping[str, str], shown: str) -> None:
    """What the evidence sums up of the contract tests is of the report in the package."""
    predicate = said.get("predicate")
    model = predicate.get("switchyard_model") if isinstance(predicate, dict) else None
    tests = model.get("contract_tests") if isinstance(model, dict) else None
    digest = tests.get("sha256") if isinstance(tests, dict) else None
    if tests is not None and digest != files.get(CONTRACT_TESTS):
        expected = f"contract tests with SHA-256 {files.get(CONTRACT_TESTS)}"
        raise PackageRefused(shown, STATEMENT, expected, f"those with {digest}", _ADVICE)
