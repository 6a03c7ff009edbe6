"""`switchyard keys create|list|rotate|revoke`: API keys, and the key that signs receipts."""

import json
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services import keys
from services.errors import ConfigError
from services.keys import KeyRecord

if TYPE_CHECKING:
    from services.state.database import Database

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Days = Annotated[int, typer.Option(min=1, max=keys.MAX_DAYS, help="Good for so many days.")]


def key_commands(root: typer.Typer) -> None:
    """Add the group `keys`."""
    group = typer.Typer(help="API keys: who may ask, as which tenant, in which roles.", no_args_is_help=True)
    group.command("create")(create)
    group.command("list")(show)
    group.command("rotate")(rotate)
    group.command("revoke")(revoke)
    root.add_typer(group, name="keys")


def create(
    tenant: Annotated[str, typer.Option(help="Whose key it is.")],
    role: Annotated[list[str], typer.Option(help=f"One of {', '.join(keys.ROLES)}; may be given again.")],
    expires_days: Days = keys.DEFAULT_DAYS,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept.

    Example: switchyard keys create --tenant acme --role caller --role auditor --json
    """
    from services.state.api_keys import ApiKeys

    key, record = keys.issue(tenant, role, keys.utc_now(), expires_days)
    with _database() as database:
        ApiKeys(database).add(record)
    _print_new(key, record, as_json)


def show(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None, as_json: Json = False
) -> None:
    """List keys by their ids: tenant, roles, state and end. The keys themselves are not kept.

    Example: switchyard keys list --tenant acme
    """
    from services.state.api_keys import ApiKeys

    with _database() as database:
        records = ApiKeys(database).list(tenant)
    now = keys.utc_now()
    if as_json:
        typer.echo(json.dumps([_row(record, now) for record in records], indent=2))
    elif not records:
        typer.echo("no key yet; `switchyard keys create --tenant T --role caller` makes one")
    else:
        for record in records:
            typer.echo(_line(record, now))


def rotate(
    key_id: Annotated[str | None, typer.Argument(metavar="KEY_ID", help="The key to replace.")] = None,
    overlap_hours: Annotated[
        float, typer.Option(min=0, help="How long the old key stays good beside the new one.")
    ] = keys.DEFAULT_OVERLAP_HOURS,
    expires_days: Days = keys.DEFAULT_DAYS,
    receipts: Annotated[
        bool, typer.Option("--receipts", help="Instead: begin a new key for signing receipts.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Replace a key by a new one with the same tenant and roles; both are good during the overlap.

    Receipts signed before stay verifiable: the public half of every old key is kept in jwks.json.

    Example: switchyard keys rotate 3f9a0c21d4e5 --overlap-hours 24
    """
    if receipts == (key_id is not None):
        raise ConfigError("expected either a KEY_ID or --receipts")
    if receipts:
        _rotate_receipts(as_json)
        return
    from services.state.api_keys import ApiKeys

    with _database() as database:
        store = ApiKeys(database)
        old = store.get(key_id or "")
        key, new, ending = keys.rotate(old, keys.utc_now(), timedelta(hours=overlap_hours), expires_days)
        store.replace(ending, new)
    _print_new(key, new, as_json, replaces=ending)


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="The key to close.")], as_json: Json = False
) -> None:
    """Close a key. Running servers refuse it within two seconds.

    Example: switchyard keys revoke 3f9a0c21d4e5
    """
    from services.state.api_keys import ApiKeys

    now = keys.utc_now()
    with _database() as database:
        record = ApiKeys(database).revoke(key_id, now)
    typer.echo(json.dumps(_row(record, now)) if as_json else f"key {record.id} of {record.tenant} is revoked")


def _database() -> "Database":
    from services.settings import load_settings
    from services.state.database import Database

    return Database(load_settings().state_db)


def _rotate_receipts(as_json: bool) -> None:
    from services.receipt_keys import rotate_receipt_key
    from services.settings import load_settings

    kid = rotate_receipt_key(load_settings().keys_dir).kid
    typer.echo(json.dumps({"kid": kid}) if as_json else f"receipts are signed with {kid} from now on")


def _row(record: KeyRecord, now: datetime) -> dict[str, Any]:
    return {
        "id": record.id,
        "tenant": record.tenant,
        "roles": sorted(record.roles),
        "state": record.state(now),
        "created_at": record.created_at.isoformat(timespec="seconds"),
        "expires_at": record.expires_at.isoformat(timespec="seconds"),
        "revoked_at": record.revoked_at.isoformat(timespec="seconds") if record.revoked_at else None,
    }


def _print_new(key: str, record: KeyRecord, as_json: bool, replaces: KeyRecord | None = None) -> None:
    if as_json:
        row = {name: value for name, value in _row(record, record.created_at).items() if name != "revoked_at"}
        typer.echo(json.dumps({"key": key, **row, **({"replaces": replaces.id} if replaces else {})}))
        return
    typer.echo(key)
    sys.stderr.write(f"key {record.id} of {record.tenant}: {', '.join(sorted(record.roles))}; ")
    sys.stderr.write(f"good until {record.expires_at:%Y-%m-%d}. It is shown this once.\n")
    if replaces and replaces.revoked_at:
        sys.stderr.write(f"key {replaces.id} stays good until {replaces.revoked_at:%Y-%m-%d %H:%M} UTC.\n")


def _line(record: KeyRecord, now: datetime) -> str:
    end = min(record.expires_at, record.revoked_at or record.expires_at)
    roles = ", ".join(sorted(record.roles))
    return f"{record.id}  {record.state(now):<7}  until {end:%Y-%m-%d %H:%M}  {record.tenant}  {roles}"
