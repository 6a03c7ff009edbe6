"""Models and runs in MLflow: the only module that imports it, and never on the request path.

A registered version is a signed package folder kept as an artifact of its run: no flavor, no pickle.
What MLflow answers is believed only after `signing.verify_package`; its tags are for people to read.
"""

import errno
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from registry.errors import ModelNotFound, PackageRefused, PlacingFailed, RegistryError, RegistryUnavailable
from registry.evidence import STATEMENT
from registry.lineage import DataInput, Lineage, lineage_of
from registry.mlflow_answers import aliases_of, artifact_path, listed, nothing_yet, ref_of
from registry.moves import CHAMPION, PREVIOUS, check_move, tag_of
from registry.reach import MLFLOW_DEFAULTS, check_reachable, is_server, shown, sqlite_file
from registry.records import NAME_PATTERN, ModelRef, RegisteredVersion
from registry.settings import RegistrySettings
from registry.signing import verify_package
from registry.trust_files import keys_for

KIND = "mlflow.experimentKind"  # so that its pages show training, and not what else MLflow is for


class Registry:
    """Reads and writes MLflow's registry. Nothing is connected, made or imported before the first call.

    Every method raises `RegistryUnavailable` when MLflow cannot be reached, within seconds, and
    `ModelNotFound` when it answers that there is no such thing.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._uri = settings.tracking_uri
        self._connected: Any = None  # an MlflowClient, once there is one

    def start_run(
        self, use_case: str, name: str, params: Mapping[str, object], tags: Mapping[str, str] | None = None
    ) -> str:
        """Open a run, so that its id can go into the evidence before anything is signed."""
        with self._asking(f"opening a run for '{use_case}'") as client:
            run = client.create_run(self._experiment(client, use_case), run_name=name, tags=dict(tags or {}))
            for key, value in params.items():
                client.log_param(run.info.run_id, key, value)
            return str(run.info.run_id)

    def end_run(self, run_id: str, failed: bool = False) -> None:
        """Close a run; `failed` marks one whose flow stopped."""
        with self._asking(f"closing run {run_id}") as client:
            client.set_terminated(run_id, "FAILED" if failed else "FINISHED")

    def register(
        self,
        folder: Path,
        name: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        run_id: str | None = None,
    ) -> ModelRef:
        """Keep a signed package as a version of `name`; the same bytes again return the version they have.

        `tags` must say `use_case`; digest, signer's key id and kind are taken from the package, which
        is verified first (`PackageRefused`). Sets no alias: `set_alias` does, last of all.
        """
        package = verify_package(folder, keys_for(self._settings, "candidate"), name)
        ref_tags = {
            **tags,
            "digest": package.digest,
            "signer_key_id": package.key_id,
            "kind": package.manifest.kind,
        }
        lineage = Lineage()
        if STATEMENT in package.files:
            ref_tags["evidence"] = package.files[STATEMENT]
            lineage = lineage_of(package.read(STATEMENT))
        with self._asking(f"registering '{name}'") as client:
            self._ensure_model(client, name, tags["use_case"])
            if found := self._versions_with(client, name, package.digest):
                if run_id:
                    client.set_terminated(run_id)
                return ModelRef(name, found[0], package.digest)
            run_id = run_id or client.create_run(self._experiment(client, tags["use_case"])).info.run_id
            for metric, number in metrics.items():
                client.log_metric(run_id, metric, number)
            for tag, text in ref_tags.items():
                client.set_tag(run_id, tag, text)
            client.log_inputs(run_id, [_dataset(one) for one in lineage.inputs])
            path = artifact_path(package.digest)
            client.log_artifacts(run_id, str(folder), path)
            made = client.create_model_version(
                name, f"runs:/{run_id}/{path}", run_id, ref_tags, description=lineage.description
            )
            client.set_terminated(run_id)
            # Two processes with the same bytes: the earlier version stands, and both return it.
            first = self._versions_with(client, name, package.digest)[0]
            if int(made.version) != first:
                client.delete_model_version(name, made.version)
            return ModelRef(name, first, package.digest)

    def set_alias(self, name: str, alias: str, version: int, line: str | None = None) -> None:
        """Let `alias` mean `version`. When champion moves, the one before becomes `previous`, first.

        `line` is the signed promotion that says so, without which nobody follows; see moves.py.
        """
        with self._asking(f"moving '{name}@{alias}' to version {version}") as client:
            aliases = aliases_of(client.get_registered_model(name))
            client.get_model_version(name, str(version))
            if line is not None:
                client.set_model_version_tag(name, str(version), tag_of(alias), line)
            if aliases.get(alias) == version:
                return
            if alias == CHAMPION and CHAMPION in aliases:
                before = str(aliases[CHAMPION])
                if line is not None:
                    client.set_model_version_tag(name, before, tag_of(PREVIOUS), line)
                client.set_registered_model_alias(name, PREVIOUS, before)
            client.set_registered_model_alias(name, alias, str(version))

    def drop_alias(self, name: str, alias: str) -> None:
        """Let `alias` mean nothing; nothing to do when it means nothing."""
        with self._asking(f"dropping '{name}@{alias}'") as client:
            client.delete_registered_model_alias(name, alias)

    def note(self, ref: ModelRef, tags: Mapping[str, str]) -> None:
        """Write tags for people at a version."""
        with self._asking(f"tagging '{ref.name}' version {ref.version}") as client:
            for tag, text in tags.items():
                client.set_model_version_tag(ref.name, str(ref.version), tag, text)

    def version(self, name: str, number: int) -> ModelRef:
        """One version by its number. Raises `ModelNotFound`."""
        if self._empty():
            raise ModelNotFound(nothing_yet(name))
        with self._asking(f"looking up '{name}' version {number}") as client:
            return ref_of(client.get_model_version(name, str(number)), name, number)

    def newest(self, name: str) -> ModelRef:
        """The version that was registered last. Raises `ModelNotFound`."""
        if self._empty():
            raise ModelNotFound(nothing_yet(name))
        with self._asking(f"looking up '{name}'") as client:
            found = client.search_model_versions(f"name='{name}'")
        if not found:
            raise ModelNotFound(nothing_yet(name))
        last = max(found, key=lambda version: int(version.version))
        return ref_of(last, name, int(last.version))

    def resolve(self, name: str, alias: str) -> ModelRef:
        """The version that `alias` means now, as a signed promotion says. Raises `ModelNotFound`,
        `MoveRefused` for an alias that was moved without one."""
        for given in (name, alias):
            if not re.fullmatch(NAME_PATTERN, given):
                raise ModelNotFound(f"'{given}': expected a name like {NAME_PATTERN}")
        if self._empty():
            raise ModelNotFound(nothing_yet(name))
        with self._asking(f"resolving '{name}@{alias}'") as client:
            aliases = aliases_of(client.get_registered_model(name))
            if alias not in aliases:
                known = ", ".join(sorted(aliases)) or "none"
                raise ModelNotFound(f"model '{name}' has no alias '{alias}'; it has: {known}")
            found = client.get_model_version(name, str(aliases[alias]))
        ref = ref_of(found, name, aliases[alias])
        check_move(found.tags.get(tag_of(alias)), ref, alias, self._settings)
        return ref

    def download(self, ref: ModelRef, to: Path) -> Path:
        """Copy the stored files of `ref` below `to`. They are unverified: verify before any other use."""
        asked = f"'{ref.name}' version {ref.version}"
        with self._asking(f"looking up {asked}") as client:
            found = client.get_model_version(ref.name, str(ref.version))
        answered = ref_of(found, ref.name, ref.version)
        if answered != ref:
            raise PackageRefused(asked, "MLflow's tag 'digest'", ref.digest, answered.digest)
        try:
            with self._asking(f"fetching {asked}") as client:
                got = Path(self._fetch(client, found.run_id, artifact_path(ref.digest), to))
        except ModelNotFound as error:
            raise ModelNotFound(
                f"{asked}: MLflow knows it, but its files are gone; train it again"
            ) from error
        if not got.resolve().is_relative_to(to.resolve()) or not got.is_dir():
            raise PackageRefused(
                asked, str(got.name), "a folder below the one that was asked for", "another place"
            )
        return got

    def list_models(self) -> list[RegisteredVersion]:
        """Every registered version, by name and then newest first."""
        if self._empty():
            return []
        with self._asking("listing models") as client:
            return [
                listed(version, aliases_of(model), model.tags)
                for model in sorted(client.search_registered_models(), key=lambda m: str(m.name))
                for version in sorted(
                    client.search_model_versions(f"name='{model.name}'"), key=lambda v: -int(v.version)
                )
            ]

    def _empty(self) -> bool:
        """Was nothing ever written? Then reading must not make a database."""
        file = sqlite_file(self._uri)
        return file is not None and not file.exists()

    def _client(self) -> Any:
        if self._connected is None:
            if (file := sqlite_file(self._uri)) is not None:
                try:
                    file.parent.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise self._failed("making its folder", error.strerror or "", str(error)) from error
            check_reachable(self._uri)
            for name, value in MLFLOW_DEFAULTS.items():
                os.environ.setdefault(name, value)
            logging.getLogger("alembic").setLevel(logging.WARNING)
            from mlflow import MlflowClient  # takes six seconds

            self._connected = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        return self._connected

    @contextmanager
    def _asking(self, doing: str) -> Iterator[Any]:
        """A client; what MLflow and what is below it raise becomes an error of ours, here only."""
        client = self._client()
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield client
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise ModelNotFound(
                    f"{doing}: MLflow has no such thing; see `switchyard registry list`"
                ) from error
            raise self._failed(doing, str(error.error_code), str(error)) from error
        except (OSError, SQLAlchemyError) as error:  # what requests raises is an OSError too
            raise self._failed(doing, type(error).__name__, str(error)) from error

    def _failed(self, doing: str, why: str, details: str) -> RegistryError:
        # MLflow hides the errno of a parallel download in its text, so the text is asked, and not shown.
        if os.strerror(errno.ENOSPC) in details:
            return PlacingFailed(f"{doing}: no space left on device; free some and try again")
        return RegistryUnavailable(
            f"{doing}: MLflow at {shown(self._uri)} failed ({why}); see its log, or correct "
            "SWITCHYARD_MLFLOW_TRACKING_URI; models already placed go on serving"
        )

    def _fetch(self, client: Any, run_id: str, path: str, to: Path) -> str:
        # Our own path below the run, not the version's source, which anyone may have set; and not by the
        # client's download_artifacts, which adds files of other owners and hides why a download failed.
        from mlflow.artifacts import download_artifacts

        address = f"{client.get_run(run_id).info.artifact_uri.rstrip('/')}/{path}"
        return str(download_artifacts(artifact_uri=address, dst_path=str(to), tracking_uri=self._uri))

    def _experiment(self, client: Any, name: str) -> str:
        if found := client.get_experiment_by_name(name):
            return str(found.experiment_id)
        # A server keeps artifacts itself; with a database they lie beside it, never in ./mlruns.
        location = None if is_server(self._uri) else (self._settings.artifacts_dir / name).as_uri()
        with _already_there():
            return str(client.create_experiment(name, location, {KIND: "custom_model_development"}))
        return str(client.get_experiment_by_name(name).experiment_id)

    @staticmethod
    def _ensure_model(client: Any, name: str, use_case: str) -> None:
        with _already_there():
            client.create_registered_model(name, tags={"use_case": use_case})

    @staticmethod
    def _versions_with(client: Any, name: str, digest: str) -> list[int]:
        query = f"name='{name}' and tags.digest='{digest}'"
        return sorted(int(version.version) for version in client.search_model_versions(query))


def _dataset(one: DataInput) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = Dataset(one.name, one.digest, one.source_type, one.source, profile=one.profile)
    return DatasetInput(data, [InputTag("mlflow.data.context", one.context), InputTag("sha256", one.sha256)])


@contextmanager
def _already_there() -> Iterator[None]:
    """Let another process have made it in the meantime."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
