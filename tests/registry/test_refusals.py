"""Bad input of every kind, where it counts: refused, said why; what served goes on, and nothing is left."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench.plain_evidence import write_plain_evidence
from registry.contents import hash_files
from registry.errors import PackageInvalid, PackageRefused
from registry.keys import SigningKeys, TrustedKey, ensure_signing_keys
from registry.packages import package_digest
from registry.placing import place, placed_package, placed_ref
from registry.records import ModelRef
from registry.settings import RegistrySettings
from registry.signing import sign_package
from registry.trust import Revocations, RevokedKey
from registry.trust_files import revoke
from tests.registry.conftest import NAME, MakePackage, write_package
from tests.registry.sources import FolderSource
from tests.registry.test_signing import TAMPERINGS
from tests.registry.test_trust import trust


@dataclass
class Machine:
    """Where version 1 serves. `other` is a second key that is known here; `offer` lets version 2 lead."""

    settings: RegistrySettings
    source: FolderSource
    make: MakePackage
    keys: SigningKeys
    other: SigningKeys
    scratch: Path

    def offer(self, folder: Path) -> None:
        digest = package_digest(hash_files(folder, NAME))
        self.source._held[NAME, "champion"] = ModelRef(NAME, 2, digest), folder

    def signed_by(self, keys: SigningKeys) -> Path:
        folder = self.make(sign=False, contract_version="second")
        write_plain_evidence(folder)
        sign_package(folder, keys.private_key)
        return folder


@pytest.fixture
def machine(
    make_package: MakePackage,
    trusted: tuple[TrustedKey, ...],
    settings: RegistrySettings,
    keys: SigningKeys,
    tmp_path: Path,
) -> Machine:
    source = FolderSource(trusted)
    source.hold(NAME, make_package(), 1)
    place(NAME, "champion", settings, source)
    other = ensure_signing_keys(tmp_path / "other")
    (settings.keys_dir / "trusted" / "other.pem").write_bytes(other.public_key.read_bytes())
    return Machine(settings, source, make_package, keys, other, tmp_path)


def refused(machine: Machine, said: str) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in (machine.settings.models_dir / NAME).iterdir()}
    serving = placed_ref(NAME, "champion", machine.settings)
    with pytest.raises((PackageRefused, PackageInvalid), match=said):
        place(NAME, "champion", machine.settings, machine.source)
    assert placed_ref(NAME, "champion", machine.settings) == serving
    assert placed_package(serving, machine.settings).digest == serving.digest
    assert {p.name for p in (machine.settings.models_dir / NAME).iterdir()} == set(before)


@pytest.mark.parametrize("tampering", sorted(TAMPERINGS.keys() - {"pipe"}))  # which cannot even be copied
def test_a_tampered_version_is_not_placed(machine: Machine, tampering: str) -> None:
    """Changed, truncated, added, missing, renamed, linked; the signature stripped, cut or written anew."""
    change, said = TAMPERINGS[tampering]
    folder = machine.make(contract_version="second")
    machine.offer(folder)
    change(folder)
    refused(machine, said)


def by_a_stranger(machine: Machine) -> str:
    machine.offer(machine.signed_by(ensure_signing_keys(machine.scratch / "stranger")))
    return "unknown key"


def by_an_expired_key(machine: Machine) -> str:
    machine.offer(machine.signed_by(machine.other))
    machine.settings = trust(
        machine.settings.home,
        "signers: [{key: trusted, stages: [champion]}, "
        f"{{key: {machine.other.key_id}, stages: [champion], not_after: 2020-01-01T00:00:00Z}}]",
    )
    return "which expired at 2020-01-01"


def by_a_key_for_another_stage(machine: Machine) -> str:
    machine.offer(machine.signed_by(machine.other))
    machine.settings = trust(
        machine.settings.home,
        "signers: [{key: trusted, stages: [champion]}, "
        f"{{key: {machine.other.key_id}, stages: [candidate, shadow]}}]",
    )
    return "may not sign for stage 'champion'"


def by_a_revoked_key(machine: Machine) -> str:
    machine.offer(machine.signed_by(machine.other))
    revoke(
        Revocations(revoked_keys=(RevokedKey(key=machine.other.key_id, reason="stolen"),)), machine.settings
    )
    return "which was revoked: stolen"


def of_another_model(machine: Machine) -> str:
    """Validly signed, by a key in good standing."""
    folder = write_package(machine.scratch / "another" / "package", "another-model")
    write_plain_evidence(folder)
    sign_package(folder, machine.keys.private_key)
    machine.offer(folder)
    return f"expected a package signed as '{NAME}', got one signed as 'another-model'"


def with_the_signature_of_another_version(machine: Machine) -> str:
    folder = machine.make(contract_version="second")
    machine.offer(folder)
    shutil.copy(machine.make(contract_version="third") / "model.sig", folder / "model.sig")
    return "expected SHA-256"


def an_older_version_under_the_name_of_a_newer(machine: Machine) -> str:
    """Valid by itself, and not what MLflow's digest means."""
    machine.offer(machine.make(contract_version="second"))
    ref, _ = machine.source._held[NAME, "champion"]
    machine.source._held[NAME, "champion"] = replace(ref, version=3), machine.make(contract_version="first")
    return "digest of all files"


def with_evidence_of_other_files(machine: Machine) -> str:
    folder = machine.make(sign=False, contract_version="second")
    write_plain_evidence(folder)
    (folder / "parts" / "vocabulary.json").write_text('{"goodbye": 1}')
    sign_package(folder, machine.keys.private_key)
    machine.offer(folder)
    return "this evidence is about another model"


def with_no_graph_in_its_graph(machine: Machine) -> str:
    folder = machine.make(sign=False, contract_version="second")
    (folder / "model.onnx").write_bytes(os.urandom(64))
    write_plain_evidence(folder)
    sign_package(folder, machine.keys.private_key)
    machine.offer(folder)
    return r"model\.onnx: expected .*ONNX"


@pytest.mark.parametrize(
    "offered",
    [
        by_a_stranger,
        by_an_expired_key,
        by_a_key_for_another_stage,
        by_a_revoked_key,
        of_another_model,
        with_the_signature_of_another_version,
        an_older_version_under_the_name_of_a_newer,
        with_evidence_of_other_files,
        with_no_graph_in_its_graph,
    ],
)
def test_a_version_that_is_not_to_be_trusted_is_not_placed(
    machine: Machine, offered: Callable[[Machine], str]
) -> None:
    refused(machine, offered(machine))
