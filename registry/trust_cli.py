"""`switchyard registry keys|revoke|log`: who may sign for what, what may not be loaded, what was decided."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from registry import revocations
from registry.errors import ModelNotFound, RegistryError, TrustInvalid
from registry.keys import PRIVATE
from registry.log import append_line, read_log
from registry.placing import placed_ref
from registry.settings import RegistrySettings
from registry.trust import STAGES, Revocations, RevokedKey, RevokedVersion
from registry.trust_files import keys_for
from registry.trust_files import revoke as write_revocations


def show_keys(as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """List every key known here, and for which stages it may sign now; else, why not.

    \b
    Example: switchyard registry keys --json
    """
    settings = RegistrySettings()
    rows = [
        {
            "key_id": key.key_id,
            "file": key.path.name,
            "signer": getattr(key, "identity", None),  # of a certificate or of Sigstore's
            "issuer": getattr(key, "issuer", None),
            "stage": stage,
            "barred": key.barred,
        }
        for stage in STAGES
        for key in keys_for(settings, stage)
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for name in dict.fromkeys((row["key_id"], row["file"]) for row in rows):
        mine = [row for row in rows if (row["key_id"], row["file"]) == name]
        may = ", ".join(str(row["stage"]) for row in mine if row["barred"] is None) or "nothing"
        who, issuer = mine[0]["signer"], mine[0]["issuer"]
        named = f"  {who}" + (f" by {issuer}" if issuer else "") if who else ""
        typer.echo(f"{name[0]}  {name[1]}{named}  may sign for: {may}")
        for why in dict.fromkeys(str(row["barred"]) for row in mine if row["barred"]):
            typer.echo(f"  {why}")


def revoke(
    reason: Annotated[str, typer.Option(help="Why; kept with the revocation.")],
    key: Annotated[str | None, typer.Option(help="A key id: everything that it signed.")] = None,
    digest: Annotated[str | None, typer.Option(help="A version, by its digest of 64 hex digits.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Instead: the champion placed here of this model.")
    ] = None,
) -> None:
    """Revoke a version or a key; replicas that use this state folder stop loading it within seconds, and the
    version before it takes over. So do machines that follow the same MLflow, where one is shared
    (SWITCHYARD_MLFLOW_TRACKING_URI); exit code 1 when it holds here and they could not be told. It cannot be
    taken back by a command.

    \b
    Example: switchyard registry revoke --model support-intent --reason "wrong labels in training data"
    """
    if [key, digest, model].count(None) != 2:
        raise ModelNotFound("expected exactly one of --key, --digest and --model")
    settings = RegistrySettings()
    if model is not None:
        digest = placed_ref(model, "champion", settings).digest
    try:
        more = Revocations(
            revoked_keys=(RevokedKey(key=key, reason=reason),) if key else (),
            revoked_versions=(RevokedVersion(digest=digest, reason=reason),) if digest else (),
        )
    except ValidationError:
        raise TrustInvalid(
            "expected a key id of 16 hex digits or a digest of 64, and a reason of 1 to 500 characters; "
            "see `switchyard registry list --json`"
        ) from None
    write_revocations(more, settings)  # it holds from here on, logged or not
    typer.echo(f"revoked: {key or digest}")
    if not (settings.keys_dir / PRIVATE).exists():
        typer.echo("not in the signed log: this machine has no signing key", err=True)
        return
    line = append_line(revocations.KIND, more.model_dump(mode="json"), settings)
    if settings.mlflow_tracking_uri is not None:
        _tell_others(line, more, settings)


def _tell_others(line: str, more: Revocations, settings: RegistrySettings) -> None:
    from registry.store import Registry  # MLflow, which takes six seconds to import

    try:
        marked = revocations.publish(line, more, Registry(settings))
    except RegistryError as error:
        typer.echo(
            f"it holds here; machines that follow MLflow were not told, run it again: {error}", err=True
        )
        raise typer.Exit(1) from None
    typer.echo(f"marked in MLflow: {marked} versions; machines that follow it stop within seconds")


def show_log(as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """Show every promotion, refusal and revocation with its reasons, after verifying the signed log.

    \b
    Example: switchyard registry log
    """
    entries = read_log(RegistrySettings())
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    for entry in entries:
        typer.echo(f"{entry.n}  {entry.at}  {entry.kind}  {_subject(entry.body)}  by {entry.key_id}")
        if reason := entry.body.get("reason"):
            typer.echo(f"   {entry.body.get('by')}: {reason}")
        for gate in entry.body.get("gates", []):
            typer.echo(f"   {'open' if gate['passed'] else 'SHUT'}  {gate['name']}: {gate['said']}")
        for revoked in (*entry.body.get("revoked_keys", []), *entry.body.get("revoked_versions", [])):
            typer.echo(f"   {revoked.get('key') or revoked.get('digest')}: {revoked['reason']}")


def _subject(body: Mapping[str, Any]) -> str:
    if "name" not in body:
        return str(body.get("use_case", ""))
    version = f" version {body['version']}" if body.get("version") else ""
    return f"{body['name']}{version}" + (f" -> {body['alias']}" if "alias" in body else "")
