"""Models in MLflow (SQLite, PostgreSQL): registered once, resolved by alias, believed once verified."""

import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from registry import store
from registry.errors import (
    ModelNotFound,
    MoveRefused,
    PackageRefused,
    PlacingFailed,
    RegistryUnavailable,
    SignatureRefused,
)
from registry.evidence import STATEMENT, statement
from registry.keys import SigningKeys, TrustedKey, ensure_signing_keys
from registry.placing import place, placed_package, placed_ref, refused_move
from registry.promoting import withdraw
from registry.quick_reads import QuickReads
from registry.records import ModelRef
from registry.settings import RegistrySettings
from registry.signing import sign_package, verify_package
from registry.store import Registry
from tests.registry.conftest import MakePackage
from tests.registry.test_evidence import evidence
from tests.registry.test_lineage import FILE, ROWS
from tests.registry.vouching import move
from tests.services.evidence.made import POSTGRES_URL, need_postgres

TAGS = {"use_case": "parcels", "gate": "none"}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, keys: SigningKeys
) -> Iterator[RegistrySettings]:
    """One store of each kind for the module, since making its tables takes seconds; each test has its own
    name."""
    home = tmp_path_factory.mktemp("stored") / "a home"
    (home / "keys" / "trusted").mkdir(parents=True)
    shutil.copy(keys.public_key, home / "keys" / "trusted" / "signer.pem")
    if request.param == "sqlite":
        yield RegistrySettings(home=home)
        return
    with own_database() as url:
        yield RegistrySettings(home=home, mlflow_tracking_uri=url)


@contextmanager
def own_database() -> Iterator[str]:
    """A database of the test's own in the real PostgreSQL; in CI it must be there."""
    need_postgres()
    database = f"t{uuid4().hex}"
    url = POSTGRES_URL.replace("postgresql://", "postgresql+psycopg://")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {database}"))
    try:
        yield f"{POSTGRES_URL.rpartition('/')[0]}/{database}"
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {database} WITH (FORCE)"))
        admin.dispose()


@pytest.fixture(scope="module")
def registry(stored: RegistrySettings) -> Registry:
    return Registry(stored)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A model name of this test's own."""
    return str(request.node.originalname).replace("test_", "")[:50]


def test_a_version_holds_its_digest_signer_use_case_and_kind(
    registry: Registry, stored: RegistrySettings, make_package: MakePackage, keys: SigningKeys, name: str
) -> None:
    ref = registry.register(make_package(name=name), name, {"accuracy": 0.93}, TAGS)
    move(registry, stored, ref)
    (found,) = [version for version in registry.list_models() if version.ref.name == name]
    assert found.ref == ref
    assert found.aliases == ("champion",)
    assert (found.key_id, found.use_case, found.kind) == (keys.key_id, "parcels", "constant")
    assert found.registered_at.endswith("+00:00")
    assert found.tags["gate"] == "none"
    assert registry.resolve(name, "champion") == ref


def test_what_was_registered_comes_back_byte_for_byte(
    registry: Registry, make_package: MakePackage, trusted: tuple[TrustedKey, ...], tmp_path: Path, name: str
) -> None:
    ref = registry.register(make_package(name=name), name, {}, TAGS)
    folder = registry.download(ref, tmp_path / "got")
    assert verify_package(folder, trusted, name).digest == ref.digest


def test_a_place_from_mlflow_ends_with_a_verified_copy(
    registry: Registry,
    stored: RegistrySettings,
    make_package: MakePackage,
    settings: RegistrySettings,
    name: str,
) -> None:
    ref = registry.register(make_package(name=name), name, {}, TAGS)
    move(registry, stored, ref)
    assert place(name, "champion", settings, registry) == ref
    assert placed_package(ref, settings).digest == ref.digest


def test_registering_the_same_bytes_again_makes_no_second_version(
    registry: Registry, stored: RegistrySettings, make_package: MakePackage, name: str
) -> None:
    folder = make_package(name=name)
    first = registry.register(folder, name, {}, TAGS)
    assert Registry(stored).register(folder, name, {}, TAGS) == first
    second = registry.register(make_package(name=name, contract_version="another"), name, {}, TAGS)
    assert (first.version, second.version) == (1, 2)
    assert len([v for v in registry.list_models() if v.ref.name == name]) == 2


def test_a_rerun_after_a_crash_before_the_version_was_made_succeeds(
    registry: Registry, make_package: MakePackage, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_package(name=name)
    run_id = registry.start_run("parcels", "try", {"alpha": 1.0})

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(type(registry._connected), "create_model_version", crash)
        with pytest.raises(KeyboardInterrupt):
            registry.register(folder, name, {"accuracy": 0.9}, TAGS, run_id=run_id)
    ref = registry.register(folder, name, {"accuracy": 0.9}, TAGS, run_id=run_id)
    assert ref.version == 1
    (found,) = [version for version in registry.list_models() if version.ref.name == name]
    assert found.run_id == run_id


def test_the_run_of_a_version_holds_its_data_by_dvc_hash_once_also_after_a_crash(
    registry: Registry,
    make_package: MakePackage,
    keys: SigningKeys,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_package(name=name, sign=False)
    (folder / STATEMENT).write_text(json.dumps(statement(evidence(data=(FILE, ROWS)), {})))
    sign_package(folder, keys.private_key)
    run_id = registry.start_run("parcels", "try", {"alpha": 1.0})

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(type(registry._connected), "create_model_version", crash)
        with pytest.raises(KeyboardInterrupt):
            registry.register(folder, name, {}, TAGS, run_id=run_id)
    registry.register(folder, name, {}, TAGS, run_id=run_id)
    run = registry._connected.get_run(run_id)
    held = [(one.dataset.name, one.dataset.digest, {t.key: t.value for t in one.tags}["sha256"])
            for one in run.inputs.dataset_inputs]  # fmt: skip
    assert sorted(held) == [
        ("parcels/train", "f" * 36, "f" * 64),
        ("parcels/train-file", "e" * 32, "d" * 64),
    ]
    assert "e" * 32 in registry._connected.get_model_version(name, "1").description
    kind = registry._connected.get_experiment(run.info.experiment_id).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"


def test_two_processes_with_the_same_bytes_end_with_the_same_version(
    registry: Registry, make_package: MakePackage, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process registers between our look and our writing."""
    folder = make_package(name=name)
    look = Registry._versions_with
    blind = [True]

    def too_early(client: object, model: str, digest: str) -> list[int]:
        return [] if blind and blind.pop() else look(client, model, digest)

    monkeypatch.setattr(Registry, "_versions_with", staticmethod(too_early))
    first = registry.register(folder, name, {}, TAGS)
    blind.append(True)
    assert registry.register(folder, name, {}, TAGS) == first
    assert len([v for v in registry.list_models() if v.ref.name == name]) == 1


def test_when_champion_moves_the_one_before_becomes_previous(
    registry: Registry, stored: RegistrySettings, make_package: MakePackage, name: str
) -> None:
    first = registry.register(make_package(name=name), name, {}, TAGS)
    second = registry.register(make_package(name=name, contract_version="second"), name, {}, TAGS)
    move(registry, stored, first)
    with pytest.raises(ModelNotFound, match="no alias 'previous'; it has: champion"):
        registry.resolve(name, "previous")
    move(registry, stored, second, before=first)
    move(registry, stored, second, before=first)
    assert registry.resolve(name, "champion") == second
    assert registry.resolve(name, "previous") == first


def test_an_alias_is_not_moved_to_a_version_that_is_not_there(
    registry: Registry, stored: RegistrySettings, make_package: MakePackage, name: str
) -> None:
    ref = registry.register(make_package(name=name), name, {}, TAGS)
    move(registry, stored, ref)
    with pytest.raises(ModelNotFound):
        registry.set_alias(name, "champion", 7)
    assert registry.resolve(name, "champion") == ref
    with pytest.raises(ModelNotFound, match="no alias 'previous'"):
        registry.resolve(name, "previous")


@pytest.mark.parametrize(
    ("asked", "alias"), [("nobody", "champion"), ("../x", "champion"), ("a", "b c"), ("", "x")]
)
def test_an_unknown_model_or_alias_is_not_found(registry: Registry, asked: str, alias: str) -> None:
    with pytest.raises(ModelNotFound):
        registry.resolve(asked, alias)


def test_an_unsigned_package_is_not_registered(
    registry: Registry, make_package: MakePackage, name: str
) -> None:
    with pytest.raises(SignatureRefused, match=r"model\.sig: expected a signature, got no such file"):
        registry.register(make_package(name=name, sign=False), name, {}, TAGS)
    assert name not in {version.ref.name for version in registry.list_models()}


def test_a_package_of_another_name_is_not_registered(
    registry: Registry, make_package: MakePackage, name: str
) -> None:
    with pytest.raises(PackageRefused, match="one signed as 'someone-else'"):
        registry.register(make_package(name="someone-else"), name, {}, TAGS)


def test_files_changed_in_the_store_are_refused_when_placed(
    registry: Registry,
    stored: RegistrySettings,
    make_package: MakePackage,
    settings: RegistrySettings,
    name: str,
) -> None:
    ref = registry.register(make_package(name=name), name, {}, TAGS)
    move(registry, stored, ref)
    (kept,) = stored.artifacts_dir.rglob(f"package-{ref.digest[:12]}")
    (kept / "model.onnx").write_bytes(b"other")
    with pytest.raises(PackageRefused, match=r"model\.onnx: expected SHA-256"):
        place(name, "champion", settings, registry)
    assert list((settings.models_dir / name).iterdir()) == []


def test_files_gone_from_the_store_are_named_as_gone(
    registry: Registry, stored: RegistrySettings, make_package: MakePackage, tmp_path: Path, name: str
) -> None:
    ref = registry.register(make_package(name=name), name, {}, TAGS)
    (kept,) = stored.artifacts_dir.rglob(f"package-{ref.digest[:12]}")
    shutil.rmtree(kept)
    with pytest.raises(ModelNotFound, match="its files are gone"):
        registry.download(ref, tmp_path / "got")


def test_a_disk_that_fills_up_while_fetching_is_named(
    registry: Registry, make_package: MakePackage, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = registry.register(make_package(name=name), name, {}, TAGS)

    def full(*_: object, **__: object) -> None:
        Path("/dev/full").write_bytes(b"x")

    monkeypatch.setattr(shutil, "copy2", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(PlacingFailed, match="no space left on device"):
        registry.download(ref, tmp_path / "got")


def test_a_changed_digest_tag_is_refused(
    registry: Registry, make_package: MakePackage, tmp_path: Path, name: str
) -> None:
    ref = registry.register(make_package(name=name), name, {}, TAGS)
    registry._connected.set_model_version_tag(name, "1", "digest", "f" * 64)
    with pytest.raises(PackageRefused, match=rf"tag 'digest': expected {ref.digest}, got f{{64}}"):
        registry.download(ref, tmp_path / "got")


def test_a_version_that_someone_else_registered_is_not_taken_for_ours(registry: Registry, name: str) -> None:
    client = registry._client()
    client.create_registered_model(name)
    client.create_model_version(name, "file:///etc")
    registry.set_alias(name, "champion", 1)
    with pytest.raises(ModelNotFound, match="expected one that `switchyard train` registered"):
        registry.resolve(name, "champion")


def test_mlflow_answering_with_another_version_is_refused(
    registry: Registry, make_package: MakePackage, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = registry.register(make_package(name=name), name, {}, TAGS)
    second = registry.register(make_package(name=name, contract_version="second"), name, {}, TAGS)
    asked = registry._connected.get_model_version
    monkeypatch.setattr(registry._connected, "get_model_version", lambda n, v: asked(n, str(second.version)))
    with pytest.raises(PackageRefused, match=r"MLflow's answer: expected version 1 .*, got version 2"):
        registry.download(ModelRef(name, first.version, first.digest), tmp_path / "got")


def test_the_source_that_mlflow_names_is_not_followed(
    registry: Registry, stored: RegistrySettings, make_package: MakePackage, tmp_path: Path, name: str
) -> None:
    ref = registry.register(make_package(name=name), name, {}, TAGS)
    engine = create_engine(stored.tracking_uri)
    with engine.begin() as database:
        query = text("UPDATE model_versions SET source = 'file:///etc' WHERE name = :name")
        assert database.execute(query, {"name": name}).rowcount == 1
    engine.dispose()
    assert (registry.download(ref, tmp_path / "got") / "model.sig").is_file()


def test_runs_are_closed_with_their_outcome(registry: Registry) -> None:
    run_id = registry.start_run("parcels", "try", {"alpha": 0.5, "words": [1, 2]}, {"prefect_run_id": "p-1"})
    registry.end_run(run_id, failed=True)
    run = registry._connected.get_run(run_id)
    assert (run.info.status, run.data.params["alpha"]) == ("FAILED", "0.5")
    assert run.data.tags["prefect_run_id"] == "p-1"


def test_reading_an_empty_home_finds_nothing_and_writes_nothing(tmp_path: Path) -> None:
    registry = Registry(RegistrySettings(home=tmp_path / "home"))
    assert registry.list_models() == []
    with pytest.raises(ModelNotFound, match=r"nothing is registered yet; run `switchyard train <usecase>`"):
        registry.resolve("parcels", "champion")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_named_within_seconds(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}"
        registry = Registry(RegistrySettings(home=tmp_path, mlflow_tracking_uri=uri))
        started = time.monotonic()
        with pytest.raises(
            RegistryUnavailable, match=r"does not answer .*switchyard up.*TRACKING_URI"
        ) as caught:
            registry.resolve("parcels", "champion")
    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value)


def test_a_server_that_hangs_is_given_up_within_seconds(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        registry = Registry(
            RegistrySettings(home=tmp_path, mlflow_tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        )
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="ReadTimeout"):
            registry.list_models()
    assert time.monotonic() - started < 10


def test_a_server_lost_after_the_first_answer_is_named_within_seconds(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(store, "check_reachable", lambda uri: None)
        lost = Registry(RegistrySettings(home=tmp_path, mlflow_tracking_uri=uri))
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="resolving 'parcels@champion': MLflow at http://127"):
            lost.resolve("parcels", "champion")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("postgresql://u:secret@127.0.0.1:1/x", "cannot be opened"),
        ("mlruns", "expected http"),
        ("oracle9://u:secret@h/x?password=secret", "cannot be opened"),
    ],
)
def test_a_wrong_tracking_uri_is_named_without_its_password(tmp_path: Path, uri: str, said: str) -> None:
    registry = Registry(RegistrySettings(home=tmp_path, mlflow_tracking_uri=uri))
    with pytest.raises(RegistryUnavailable, match=said) as caught:
        registry.resolve("parcels", "champion")
    assert "secret" not in str(caught.value)


def test_a_database_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, whatever its name says" * 100)
    with pytest.raises(RegistryUnavailable, match="cannot be opened"):
        Registry(RegistrySettings(home=tmp_path)).list_models()


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        RegistryUnavailable, match=r"making its folder: MLflow at .* failed \(Not a directory\)"
    ):
        Registry(RegistrySettings(home=tmp_path / "file" / "home")).start_run("parcels", "try", {})


def test_another_signers_package_registers_only_when_that_signer_is_trusted(
    registry: Registry, make_package: MakePackage, tmp_path: Path, name: str
) -> None:
    stranger = ensure_signing_keys(tmp_path / "stranger")
    folder = make_package(name=name, sign=False)
    sign_package(folder, stranger.private_key)
    with pytest.raises(SignatureRefused, match="unknown key"):
        registry.register(folder, name, {}, TAGS)


def test_an_alias_that_was_moved_in_mlflow_without_a_promotion_is_not_followed(
    registry: Registry, stored: RegistrySettings, make_package: MakePackage, name: str
) -> None:
    """The last version that a promotion vouches for goes on, workers are told, and a promotion mends it."""
    first = registry.register(make_package(name=name), name, {}, TAGS)
    second = registry.register(make_package(name=name, contract_version="second"), name, {}, TAGS)
    move(registry, stored, first)
    place(name, "champion", stored, registry)
    registry.set_alias(name, "champion", second.version)
    with pytest.raises(MoveRefused, match="no signed promotion says so"):
        place(name, "champion", stored, registry)
    assert placed_ref(name, "champion", stored) == first
    assert "version 2 in MLflow" in str(refused_move(name, "champion", stored))
    move(registry, stored, second, before=first)
    assert place(name, "champion", stored, registry) == second
    assert refused_move(name, "champion", stored) is None


def test_a_machine_with_public_keys_alone_checks_the_promotion_that_mlflow_holds(
    registry: Registry, stored: RegistrySettings, make_package: MakePackage, name: str, tmp_path: Path
) -> None:
    first = registry.register(make_package(name=name), name, {}, TAGS)
    second = registry.register(make_package(name=name, contract_version="second"), name, {}, TAGS)
    replica = RegistrySettings(home=tmp_path / "replica", mlflow_tracking_uri=stored.tracking_uri)
    shutil.copytree(stored.keys_dir / "trusted", replica.keys_dir / "trusted")
    move(registry, stored, first)
    there = Registry(replica)
    with pytest.raises(MoveRefused, match="signed by no key known here"):
        place(name, "champion", replica, there)
    shutil.copy(stored.keys_dir / "model-signing.pub.pem", replica.keys_dir / "trusted" / "promoter.pem")
    assert place(name, "champion", replica, there) == first
    move(registry, stored, second, before=first)
    assert place(name, "champion", replica, there) == second
    assert there.resolve(name, "previous") == first

    # Whoever can write MLflow brings the first one back, with the line that once let it lead.
    registry.set_alias(name, "champion", first.version)
    with pytest.raises(MoveRefused, match="is older than that of"):
        place(name, "champion", replica, there)
    assert placed_ref(name, "champion", replica) == second


def test_a_withdrawn_alias_means_nothing_and_cannot_be_set_again_without_a_promotion(
    registry: Registry, stored: RegistrySettings, make_package: MakePackage, name: str
) -> None:
    ref = registry.register(make_package(name=name), name, {}, TAGS)
    move(registry, stored, ref, "canary")
    place(name, "canary", stored, registry)
    withdraw(name, "canary", "complaints", stored, registry, by="operator")
    with pytest.raises(ModelNotFound, match="no alias 'canary'"):
        registry.resolve(name, "canary")
    registry.set_alias(name, "canary", ref.version)
    with pytest.raises(MoveRefused):
        registry.resolve(name, "canary")
    with pytest.raises(ModelNotFound):
        placed_ref(name, "canary", stored)


def test_the_quick_reads_say_what_mlflow_says_and_refuse_what_it_refuses(
    registry: Registry, stored: RegistrySettings, make_package: MakePackage, name: str
) -> None:
    first = registry.register(make_package(name=name), name, {}, TAGS)
    second = registry.register(make_package(name=name, contract_version="second"), name, {}, TAGS)
    move(registry, stored, first)
    quick = QuickReads(stored)
    assert quick.resolve(name, "champion") == first
    assert (quick.version(name, 1), quick.newest(name)) == (first, second)
    registry.set_alias(name, "champion", second.version)
    with pytest.raises(MoveRefused):
        quick.resolve(name, "champion")
    registry._connected.delete_model_version(name, "2")
    assert quick.newest(name) == first
    for asked in (
        lambda: quick.version(name, 2),
        lambda: quick.resolve(name, "canary"),
        lambda: quick.newest("no"),
    ):
        with pytest.raises(ModelNotFound):
            asked()
    assert quick._slow is None
