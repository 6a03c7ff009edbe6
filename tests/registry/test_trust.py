"""Who may sign for which stage is policy; what was revoked stops, and the version before it takes over."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from registry import cli
from registry.errors import ModelNotFound, PackageRefused, SignatureRefused, TrustInvalid, VersionRevoked
from registry.keys import SigningKeys, TrustedKey, ensure_signing_keys
from registry.loading import is_revoked
from registry.log import append, read_log
from registry.placing import checked_package, place, placed_package, placed_ref
from registry.settings import RegistrySettings
from registry.trust import STAGES, Revocations, RevokedKey, RevokedVersion, parse_trust
from registry.trust_files import REVOKED, keys_for, read_trust, revoke
from tests.registry.conftest import NAME, MakePackage
from tests.registry.sources import FolderSource

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HEAD = "format_version: 1\n"


def trust(home: Path, text: str) -> RegistrySettings:
    file = home / "trust.yaml"
    file.write_text(HEAD + text)
    return RegistrySettings(home=home, trust=file)


def version(digest: str, reason: str = "bad data") -> Revocations:
    return Revocations(revoked_versions=(RevokedVersion(digest=digest, reason=reason),))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("signers: [{key: own, stages: [champoin]}]", r"signers\.0\.stages\.0"),
        ("signers: [{key: own, stages: []}]", r"signers\.0\.stages"),
        ("signers: []", "signers"),
        ("signers: [{key: OWN, stages: [champion]}]", r"signers\.0\.key"),
        ("signers: [{key: own, stages: [champion], untill: 2026-01-01}]", "untill"),
        ("signers: [{key: own, stages: [champion], not_after: 2026-01-01T00:00:00}]", "not_after"),
        ("signers: [{key: own, stages: [champion]}, {key: own, stages: [canary]}]", "one line a key"),
        ("signers: [{key: own, stages: [champion]}]\nrevoked_versions: [{digest: ab, reason: x}]", "digest"),
        (
            "signers: [{key: own, stages: [champion]}]\nsigners: [{key: own, stages: [canary]}]",
            "each key once",
        ),
        ("signers: [}", "line 2"),
        (
            "signers: [{key: own, stages: [canary], not_before: 2026-02-01T00:00:00Z, "
            "not_after: 2026-01-01T00:00:00Z}]",
            "not_after",
        ),
    ],
)
def test_a_policy_that_is_not_exact_is_refused_by_file_and_key(text: str, key: str) -> None:
    with pytest.raises(TrustInvalid, match=f"(?s)^my.yaml: .*{key}"):
        parse_trust((HEAD + text).encode(), "my.yaml")


def test_without_a_readable_policy_nothing_is_trusted(tmp_path: Path) -> None:
    with pytest.raises(TrustInvalid, match="set SWITCHYARD_TRUST"):
        read_trust(RegistrySettings(home=tmp_path, trust=tmp_path / "none.yaml"))


def test_revocations_that_cannot_be_read_let_nothing_new_in(settings: RegistrySettings) -> None:
    (settings.keys_dir / REVOKED).write_text("{broken")
    with pytest.raises(TrustInvalid, match=f"keys/{REVOKED}"):
        placed_ref(NAME, "champion", settings)


def test_the_policy_that_ships_is_valid_and_lets_known_keys_sign_for_every_stage(
    settings: RegistrySettings,
) -> None:
    assert all(key.barred is None for stage in STAGES for key in keys_for(settings, stage))


def test_a_key_may_sign_only_for_its_stages(
    settings: RegistrySettings, keys: SigningKeys, make_package: MakePackage
) -> None:
    """A line by key id overrides that of its group."""
    lines = f"signers: [{{key: trusted, stages: [champion]}}, {{key: {keys.key_id}, stages: [canary]}}]"
    strict = trust(settings.home, lines)
    folder = make_package()
    assert checked_package(folder, NAME, strict, "canary").key_id == keys.key_id
    with pytest.raises(SignatureRefused, match="may not sign for stage 'champion', only for: canary"):
        checked_package(folder, NAME, strict, "champion")
    with pytest.raises(SignatureRefused, match="stage 'champion'"):
        checked_package(folder, NAME, strict, "an-alias-of-no-stage")


def test_a_key_is_valid_within_its_window_only_and_rotation_overlaps(
    settings: RegistrySettings, keys: SigningKeys
) -> None:
    window = (
        f"signers: [{{key: {keys.key_id}, stages: [champion], not_before: 2026-06-01T00:00:00Z, "
        "not_after: 2026-06-02T00:00:00Z}]"
    )
    strict = trust(settings.home, window)

    def barred(at: datetime) -> str | None:
        return keys_for(strict, "champion", at)[0].barred

    assert barred(NOW) is None
    assert barred(NOW + timedelta(days=1, seconds=-1)) is None
    assert "expired" in str(barred(NOW + timedelta(days=1)))
    assert "not valid before" in str(barred(NOW - timedelta(seconds=1)))


def test_in_a_rotation_both_keys_hold_until_the_old_one_ends(
    settings: RegistrySettings, keys: SigningKeys, tmp_path: Path
) -> None:
    """One line for the old key; the new one is of the group."""
    new = ensure_signing_keys(tmp_path / "new")
    (settings.keys_dir / "trusted" / "new.pem").write_bytes(new.public_key.read_bytes())
    strict = trust(
        settings.home,
        f"signers: [{{key: trusted, stages: [champion]}}, "
        f"{{key: {keys.key_id}, stages: [champion], not_after: 2026-06-02T00:00:00Z}}]",
    )

    def hold(at: datetime) -> set[str]:
        return {key.key_id for key in keys_for(strict, "champion", at) if key.barred is None}

    assert hold(NOW) == {keys.key_id, new.key_id}
    assert hold(NOW + timedelta(days=1)) == {new.key_id}


def test_a_policy_file_revokes_keys_and_versions_for_every_machine_that_gets_it(
    settings: RegistrySettings, keys: SigningKeys, make_package: MakePackage, trusted: tuple[TrustedKey, ...]
) -> None:
    source = FolderSource(trusted)
    ref = source.hold(NAME, make_package(), 1)
    place(NAME, "champion", settings, source)
    signers = "signers: [{key: trusted, stages: [champion]}]\n"
    rolled_out = trust(
        settings.home, f"{signers}revoked_versions: [{{digest: {ref.digest}, reason: bad data}}]"
    )
    with pytest.raises(VersionRevoked, match="bad data"):
        placed_ref(NAME, "champion", rolled_out)
    rolled_out = trust(settings.home, f"{signers}revoked_keys: [{{key: {keys.key_id}, reason: stolen}}]")
    with pytest.raises(VersionRevoked, match="its signer was revoked: stolen"):
        placed_ref(NAME, "champion", rolled_out)
    assert placed_ref(NAME, "champion", trust(settings.home, signers)) == ref


def test_keys_shows_certificates_and_workflows_by_name(
    settings: RegistrySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(
        settings.home,
        "signers: [{key: own, stages: [champion]}]\n"
        "certificates: [{authority: bank.pem, identity: 'https://ci.bank.example', stages: [canary]}]\n"
        "identities: [{issuer: 'https://oidc.example', identity: 'a@bank.example', stages: [champion]}]\n",
    )
    monkeypatch.setenv("SWITCHYARD_TRUST", str(settings.home / "trust.yaml"))
    shown = run("keys", home=settings.home, monkeypatch=monkeypatch)
    assert "bank.pem  https://ci.bank.example  may sign for: canary" in shown
    assert "a@bank.example by https://oidc.example  may sign for: champion" in shown


def test_a_key_without_a_line_may_sign_for_nothing(
    settings: RegistrySettings, make_package: MakePackage
) -> None:
    strict = trust(settings.home, "signers: [{key: own, stages: [champion]}]")
    with pytest.raises(SignatureRefused, match="no line in the trust policy"):
        checked_package(make_package(), NAME, strict, "champion")


def test_an_unreadable_signature_of_a_revoked_key_is_still_refused(
    settings: RegistrySettings, keys: SigningKeys, make_package: MakePackage
) -> None:
    folder = make_package()
    revoke(Revocations(revoked_keys=(RevokedKey(key=keys.key_id, reason="leaked"),)), settings)
    with pytest.raises(SignatureRefused, match="was revoked: leaked"):
        checked_package(folder, NAME, settings, "champion")


def placed_twice(
    make: MakePackage, trusted: tuple[TrustedKey, ...], settings: RegistrySettings
) -> tuple[FolderSource, list[Path]]:
    source = FolderSource(trusted)
    folders = [make(), make(contract_version="two")]
    for number, folder in enumerate(folders, 1):
        source.hold(NAME, folder, number)
        place(NAME, "champion", settings, source)
    return source, folders


def test_when_the_champion_is_revoked_the_one_before_takes_over_and_nothing_brings_it_back(
    make_package: MakePackage, trusted: tuple[TrustedKey, ...], settings: RegistrySettings
) -> None:
    source, _ = placed_twice(make_package, trusted, settings)
    bad = placed_ref(NAME, "champion", settings)
    revoke(version(bad.digest), settings)
    now = placed_ref(NAME, "champion", settings)
    assert (bad.version, now.version) == (2, 1)
    assert placed_package(now, settings).digest == now.digest
    with pytest.raises(PackageRefused, match="was revoked: bad data"):
        place(NAME, "champion", settings, source)
    assert placed_ref(NAME, "champion", settings) == now
    revoke(version(now.digest), settings)
    with pytest.raises(VersionRevoked, match="no earlier version"):
        placed_ref(NAME, "champion", settings)


def test_a_revoked_version_is_not_kept_to_fall_back_on(
    make_package: MakePackage, trusted: tuple[TrustedKey, ...], settings: RegistrySettings
) -> None:
    source, _ = placed_twice(make_package, trusted, settings)
    revoke(version(placed_ref(NAME, "champion", settings).digest), settings)
    source.hold(NAME, make_package(contract_version="three"), 3)
    third = place(NAME, "champion", settings, source)
    assert placed_ref(NAME, "champion", settings) == third
    revoke(version(third.digest), settings)
    assert placed_ref(NAME, "champion", settings).version == 1


def test_revocations_from_many_at_once_are_all_kept(settings: RegistrySettings) -> None:
    digests = [f"{n:064x}" for n in range(12)]
    threads = [threading.Thread(target=revoke, args=(version(d), settings)) for d in digests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {r.digest for r in read_trust(settings).revoked_versions} == set(digests)


def run(*arguments: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SWITCHYARD_HOME", str(home))
    root = typer.Typer()
    cli.commands(root)
    result = CliRunner().invoke(root, ["registry", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_revoke_by_model_and_keys_say_what_now_holds(
    make_package: MakePackage,
    trusted: tuple[TrustedKey, ...],
    settings: RegistrySettings,
    keys: SigningKeys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    placed_twice(make_package, trusted, settings)
    at = {"home": settings.home, "monkeypatch": monkeypatch}
    assert "revoked: " in run("revoke", "--model", NAME, "--reason", "bad", **at)  # type: ignore[arg-type]  # keywords of two types
    assert placed_ref(NAME, "champion", settings).version == 1
    run("revoke", "--key", keys.key_id, "--reason", "leaked", **at)  # type: ignore[arg-type]  # as above
    rows = json.loads(run("keys", "--json", **at))  # type: ignore[arg-type]  # as above
    assert {(row["key_id"], row["barred"]) for row in rows} == {(keys.key_id, "was revoked: leaked")}
    with pytest.raises(ModelNotFound, match="exactly one"):
        run("revoke", "--reason", "x", **at)  # type: ignore[arg-type]  # as above
    with pytest.raises(TrustInvalid, match="16 hex digits"):
        run("revoke", "--key", "nonsense", "--reason", "x", **at)  # type: ignore[arg-type]  # as above


def test_a_revocation_holds_here_though_a_shared_mlflow_cannot_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RegistrySettings(home=tmp_path)
    ensure_signing_keys(settings.keys_dir)
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path))
    monkeypatch.setenv("SWITCHYARD_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    root = typer.Typer()
    cli.commands(root)
    done = CliRunner().invoke(root, ["registry", "revoke", "--digest", "c" * 64, "--reason", "bad"])
    assert done.exit_code == 1
    assert "machines that follow MLflow were not told, run it again" in done.output
    assert read_trust(settings).why_version_barred("c" * 64) == "was revoked: bad"


def test_what_serves_stops_when_it_or_its_signer_is_revoked_not_when_the_policy_cannot_be_read(
    settings: RegistrySettings, keys: SigningKeys
) -> None:
    from tests.registry.loaded import loaded_model

    model = loaded_model(keys.key_id)
    assert not is_revoked(model, settings)
    revoke(Revocations(revoked_keys=(RevokedKey(key=keys.key_id, reason="leaked"),)), settings)
    assert is_revoked(model, settings)
    (settings.keys_dir / REVOKED).write_text("{broken")
    assert not is_revoked(model, settings)


def test_a_revocation_is_in_the_signed_log_where_this_machine_can_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica without a private key revokes all the same, and makes no key for it."""
    settings = RegistrySettings(home=tmp_path)
    at = {"home": tmp_path, "monkeypatch": monkeypatch}
    out = run("revoke", "--digest", "a" * 64, "--reason", "bad", **at)  # type: ignore[arg-type]  # keywords of two types
    assert "not in the signed log" in out
    assert [file.name for file in settings.keys_dir.glob("*.pem")] == []
    ensure_signing_keys(settings.keys_dir)
    run("revoke", "--digest", "b" * 64, "--reason", "bad too", **at)  # type: ignore[arg-type]  # as above
    (entry,) = read_log(settings)
    assert (entry.kind, entry.body["revoked_versions"][0]["reason"]) == ("revocation", "bad too")
    assert {r.digest[0] for r in read_trust(settings).revoked_versions} == {"a", "b"}
    append(
        "refusal",
        {"name": "m", "version": 2, "gates": [{"name": "key", "passed": False, "said": "it"}]},
        settings,
    )
    shown = run("log", **at)  # type: ignore[arg-type]  # as above
    assert "SHUT  key: it" in shown
    assert "bad too" in shown
