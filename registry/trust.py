"""Trust policy: which key may sign for which stage and when, and what was revoked. Strict, and pure.

`trust.yaml` is the policy; `keys/revoked.json` in the state folder adds what this machine revoked.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from registry.errors import TrustInvalid

Stage = Literal["candidate", "canary", "shadow", "champion", "previous"]
STAGES: tuple[Stage, ...] = ("candidate", "canary", "shadow", "champion", "previous")
OWN, TRUSTED = "own", "trusted"

M = TypeVar("M", bound=BaseModel)
KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Reason = Annotated[str, Field(min_length=1, max_length=500)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Signer(_Strict):
    """One line of trust: a key id, `own` or `trusted`; stages that it may sign for; when, if bounded."""

    key: str = Field(pattern=rf"^({OWN}|{TRUSTED}|[0-9a-f]{{16}})$")
    stages: tuple[Stage, ...] = Field(min_length=1)
    not_before: AwareDatetime | None = None
    not_after: AwareDatetime | None = None

    @model_validator(mode="after")
    def _window(self) -> "Signer":
        if self.not_before and self.not_after and self.not_after <= self.not_before:
            raise ValueError("not_after: expected a time after not_before")
        return self


class _Named(_Strict):
    """A signer who is named, not known by a key."""

    identity: str = Field(min_length=1, max_length=500)
    stages: tuple[Stage, ...] = Field(min_length=1)
    not_before: AwareDatetime | None = None
    not_after: AwareDatetime | None = None


class CertifiedSigner(_Named):
    """Whoever holds a certificate with this name by the authority in keys/authorities/`authority`."""

    authority: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\.pem$")


class KeylessSigner(_Named):
    """Whoever Sigstore certified as this identity (a mail address, a workflow), on the word of `issuer`."""

    issuer: str = Field(pattern=r"^https://[^\s]{1,400}$")


class RevokedKey(_Strict):
    key: KeyId
    reason: Reason


class RevokedVersion(_Strict):
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    reason: Reason


class Revocations(_Strict):
    """What may no longer be loaded, whatever else is trusted."""

    revoked_keys: tuple[RevokedKey, ...] = ()
    revoked_versions: tuple[RevokedVersion, ...] = ()


class Trust(Revocations):
    """The whole policy. A key that no line covers may sign for nothing."""

    format_version: Literal[1]
    signers: tuple[Signer, ...] = Field(min_length=1)
    certificates: tuple[CertifiedSigner, ...] = ()
    identities: tuple[KeylessSigner, ...] = ()

    @model_validator(mode="after")
    def _one_line_a_key(self) -> "Trust":
        keys = [signer.key for signer in self.signers]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"signers: expected one line a key, got two of '{twice[0]}'")
        return self

    def plus(self, more: Revocations) -> "Trust":
        """The same policy with further revocations."""
        return self.model_copy(
            update={
                "revoked_keys": (*self.revoked_keys, *more.revoked_keys),
                "revoked_versions": (*self.revoked_versions, *more.revoked_versions),
            }
        )

    def why_key_barred(self, key_id: str, own: bool, stage: Stage, now: datetime) -> str | None:
        """Why this key may not vouch for `stage` at `now` (aware), or None when it may."""
        lines: Mapping[str, Signer] = {signer.key: signer for signer in self.signers}
        line = lines.get(key_id) or lines.get(OWN if own else TRUSTED)
        return self.why_line_barred(line, key_id, stage, now)

    def why_line_barred(
        self, line: Signer | _Named | None, key_id: str, stage: Stage, now: datetime
    ) -> str | None:
        """The same for a signer's own line of the policy; None is no line."""
        for revoked in self.revoked_keys:
            if revoked.key == key_id:
                return f"was revoked: {revoked.reason}"
        if line is None:
            return "has no line in the trust policy"
        if stage not in line.stages:
            return f"may not sign for stage '{stage}', only for: {', '.join(line.stages)}"
        if line.not_before and now < line.not_before:
            return f"is not valid before {line.not_before.isoformat()}"
        if line.not_after and now >= line.not_after:
            return f"expired at {line.not_after.isoformat()}"
        return None

    def why_version_barred(self, digest: str) -> str | None:
        """Why the package of this digest may not be loaded, or None when nobody revoked it."""
        return next((f"was revoked: {r.reason}" for r in self.revoked_versions if r.digest == digest), None)

    def why_revoked(self, digest: str, key_id: str) -> str | None:
        """Why what already serves must stop: the version or its signer was revoked; an expired key is not."""
        if why := self.why_version_barred(digest):
            return why
        return next(
            (f"its signer was revoked: {r.reason}" for r in self.revoked_keys if r.key == key_id), None
        )


def stage_of(alias: str) -> Stage:
    """The stage that an alias asks for; an alias of no stage asks for what serving does."""
    return next((stage for stage in STAGES if stage == alias), "champion")


def parse_trust(raw: bytes, shown: str) -> Trust:
    """Read a trust policy (YAML). Raises `TrustInvalid` naming file and key; a key twice is refused."""
    return _read(Trust, _mapping(raw, shown), shown)


def parse_revocations(raw: bytes, shown: str) -> Revocations:
    """Read this machine's revocations (JSON, which YAML includes). Raises `TrustInvalid`."""
    return _read(Revocations, _mapping(raw, shown), shown)


def _read(model: type[M], found: Any, shown: str) -> M:
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the document"
        raise TrustInvalid(
            f"{shown}: {key}: {first['msg']}; nothing new is loaded until it is right"
        ) from None


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets a later key replace an earlier one unseen; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if len(set(map(str, names))) != len(names):
            raise yaml.constructor.ConstructorError(None, None, "a key stands there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _mapping(raw: bytes, shown: str) -> Any:
    try:
        return yaml.load(raw, Loader=_UniqueKeys)  # noqa: S506  — a SafeLoader, made stricter
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise TrustInvalid(f"{shown}: {where}expected YAML with each key once; correct it") from None
