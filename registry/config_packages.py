"""A use-case folder as a signed, immutable copy: what a rollout of a configuration serves. Bytes in and out.

One JSON document: `statement`, a compact JWS by the model-signing key over use case, version and the SHA-256
of each file, and `files` with their contents. Without a statement by a key that may sign for the stage now,
or with one byte changed, nothing comes out.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Annotated, Literal

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from registry.errors import ConfigRefused
from registry.keys import ensure_signing_keys
from registry.log import ALGORITHMS
from registry.records import Name
from registry.settings import RegistrySettings
from registry.trust import Stage
from registry.trust_files import keys_for, read_trust

TYPE = "switchyard-configuration+jws"
MAX_FILES = 500
MAX_BYTES = 5_000_000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}){0,7}")

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Statement(BaseModel):
    """What is signed. `format` 1 is the only one yet."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    format: Literal[1]
    use_case: Name
    version: str = Field(pattern=r"^[0-9a-f]{12}$")
    at: str = Field(max_length=40)
    by: str = Field(min_length=1, max_length=128)
    files: Mapping[str, Digest] = Field(min_length=1, max_length=MAX_FILES)


@dataclass(frozen=True, slots=True)
class VerifiedConfig:
    """Files that a trusted key signed as this version of this use case. `open_config` makes one.

    `digest` names the exact content, as `switchyard registry revoke --digest` takes it.
    """

    use_case: str
    version: str
    digest: str
    files: Mapping[str, bytes]
    key_id: str
    by: str
    at: str


def seal_config(
    use_case: str, version: str, files: Mapping[str, bytes], settings: RegistrySettings, *, by: str
) -> str:
    """Sign these files as `version` of the use case. Raises `ConfigRefused`, `KeyUnusable`."""
    shown = f"configuration {version} of '{use_case}'"
    _check_names(files, shown)
    if (size := sum(map(len, files.values()))) > MAX_BYTES:
        raise ConfigRefused(f"{shown}: expected at most {MAX_BYTES} bytes beside data/, got {size}")
    statement = _Statement(
        format=1, use_case=use_case, version=version, at=datetime.now(UTC).isoformat(timespec="seconds"),
        by=by, files={name: sha256(content).hexdigest() for name, content in files.items()},
    )  # fmt: skip
    keys = ensure_signing_keys(settings.keys_dir)
    key = ECKey.import_key(keys.private_key.read_bytes())
    algorithm = ALGORITHMS[key.curve_name]
    header = {"alg": algorithm, "kid": keys.key_id, "typ": TYPE}
    payload = json.dumps(statement.model_dump(), sort_keys=True)
    return json.dumps(
        {
            "statement": jws.serialize_compact(header, payload, key, algorithms=[algorithm]),
            "files": {name: base64.b64encode(content).decode("ascii") for name, content in files.items()},
        }
    )


def open_config(
    sealed: str, use_case: str, version: str, settings: RegistrySettings, stage: Stage
) -> VerifiedConfig:
    """Verify a sealed copy for a stage. Raises `ConfigRefused` that says what does not hold."""
    shown = f"configuration {version} of '{use_case}'"
    try:
        raw = json.loads(sealed)
        statement, key_id = _signed(raw["statement"], shown, settings, stage)
        files = {name: base64.b64decode(text, validate=True) for name, text in raw["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise ConfigRefused(f"{shown}: expected a signed copy, got something else; start it anew") from None
    if (statement.use_case, statement.version) != (use_case, version):
        got = f"{statement.version} of '{statement.use_case}'"
        raise ConfigRefused(f"{shown}: expected that very version, got a copy signed as {got}")
    _check_names(files, shown)
    if odd := sorted(files.keys() ^ statement.files.keys()):
        raise ConfigRefused(f"{shown}: {odd[0]}: expected the files that were signed, got one more or less")
    for name, content in files.items():
        if (got := sha256(content).hexdigest()) != statement.files[name]:
            raise ConfigRefused(f"{shown}: {name}: expected SHA-256 {statement.files[name]}, got {got}")
    digest = config_digest(files)
    if (why := read_trust(settings).why_version_barred(digest)) is not None:
        raise ConfigRefused(f"{shown}: {why}; roll out another")
    return VerifiedConfig(
        use_case, version, digest, MappingProxyType(files), key_id, statement.by, statement.at
    )


def config_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over one line a file, `<sha256>  <name>\\n` in byte order: as `registry.packages` has it."""
    lines = (f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files, key=str.encode))
    return sha256("".join(lines).encode()).hexdigest()


def why_config_barred(config: VerifiedConfig, settings: RegistrySettings) -> str | None:
    """Why what was verified once must stop serving: its content or its signer was revoked since."""
    return read_trust(settings).why_revoked(config.digest, config.key_id)


def _signed(statement: str, shown: str, settings: RegistrySettings, stage: Stage) -> tuple[_Statement, str]:
    token = statement.encode("ascii")
    try:
        key_id = str(jws.extract_compact(token).headers()["kid"])
    except (JoseError, KeyError):
        raise ConfigRefused(f"{shown}: expected a signed statement, got none that names its key") from None
    trusted = next((key for key in keys_for(settings, stage) if key.key_id == key_id and key.hint), None)
    if trusted is None:
        raise ConfigRefused(
            f"{shown}: expected a signature by a trusted key, got one by {key_id[:16]}; if you know the "
            "signer, put the public key into keys/trusted/"
        )
    if trusted.barred:
        raise ConfigRefused(f"{shown}: signed by key {key_id}, which {trusted.barred}")
    key = ECKey.import_key(trusted.path.read_bytes())
    try:
        signed = jws.deserialize_compact(token, key, algorithms=[ALGORITHMS[key.curve_name]])
        if signed.headers().get("typ") != TYPE:
            raise ValueError
        return _Statement.model_validate_json(signed.payload), key_id
    except (JoseError, ValidationError, ValueError):
        raise ConfigRefused(f"{shown}: its statement was altered, or signs something else") from None


def _check_names(files: Mapping[str, bytes], shown: str) -> None:
    if len(files) > MAX_FILES:
        raise ConfigRefused(f"{shown}: expected at most {MAX_FILES} files, got {len(files)}")
    for name in files:
        if not _NAME.fullmatch(name) or ".." in PurePosixPath(name).parts:
            raise ConfigRefused(
                f"{shown}: {name!r}: expected a name of letters, digits, '.', '_' and '-', got another"
            )
