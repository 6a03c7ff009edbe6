"""`switchyard audit show|verify` and `switchyard receipt verify`: what was decided, and the proof of it."""

import json
import math
import sys
import time
from dataclasses import asdict
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.errors import ConfigError, NotFound, ReceiptRefused
from services.retain_cli import retain

if TYPE_CHECKING:
    from services.evidence.row_check import RowCover

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def audit_commands(root: typer.Typer) -> None:
    """Add the groups `audit` and `receipt`."""
    audit = typer.Typer(help="The journal: every decision, hash-chained.", no_args_is_help=True)
    audit.command("show")(show)
    audit.command("verify")(verify)
    audit.command("retain")(retain)
    root.add_typer(audit, name="audit")
    receipt = typer.Typer(help="Receipts: signed statements of how answers came to be.", no_args_is_help=True)
    receipt.command("verify")(verify_one)
    root.add_typer(receipt, name="receipt")


def show(
    decision: Annotated[str | None, typer.Argument(metavar="ID", help="A decision's id.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Instead: the last N decisions.")] = None,
    as_json: Json = False,
) -> None:
    """Show what the journal holds of a decision, or of the last ones. All of it is redacted.

    Example: switchyard audit show --last 5
    """
    if (decision is None) == (last is None):
        raise ConfigError("expected either an ID or --last N")
    from services.evidence.running import find_in_home
    from services.journal_reader import read_entries

    folder = _journal()
    if decision is not None:
        entry = find_in_home(decision)
        if entry is None:
            raise NotFound(f"there is no decision with this id in {folder.name}/")
        typer.echo(json.dumps(entry.record, indent=None if as_json else 2))
        if not entry.in_journal:
            sys.stderr.write(f"note: {entry.file} is gone; shown from the decisions database alone\n")
        return
    decisions = (e.record for e in read_entries(folder) if e.record.get("kind") == "decision")
    newest = nlargest(last or 1, decisions, key=lambda record: str(record["id"]))  # ids follow time
    records = [dict(record) for record in reversed(newest)]
    if as_json:
        typer.echo(json.dumps(records))
    elif not records:
        typer.echo("the journal holds no decision yet")
    else:
        for record in records:
            typer.echo(_line(record))


def verify(
    jwks: Annotated[
        Path | None, typer.Option(help="Trusted public keys, kept elsewhere; default: keys/jwks.json.")
    ] = None,
    checkpoints: Annotated[
        list[Path] | None, typer.Option(help="A further folder with a copy of checkpoints/; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check journal, checkpoints, database and the log of promotions: nothing changed, removed, reordered or
    forged. Else exit code 1, and each find by name.

    Example: switchyard audit verify --json
    """
    from services.evidence.running import verify_home

    report = verify_home(_read_jwks(jwks, or_none=True), checkpoints or [])
    if as_json:
        typer.echo(json.dumps({"ok": not report.problems, **asdict(report)}))
    else:
        typer.echo(
            f"{report.records} records in {report.files} intact files, {report.checkpoints} checkpoints, "
            f"{report.promotions} signed entries on promotions"
        )
        if report.removed:
            typer.echo(f"{report.removed} contents were taken out by retention, as signed records say")
        if report.rows:
            typer.echo(_rows(report.rows))
        for file, count in report.unprotected.items():
            typer.echo(f"not yet protected against a cut: the last {count} records of {file}")
        for note in report.notes:
            typer.echo(f"note: {note}")
        for problem in report.problems:
            typer.echo(f"BROKEN: {problem}")
    if report.problems:
        raise typer.Exit(1)


def verify_one(
    receipt: Annotated[
        str, typer.Argument(help="The receipt, a file that holds it, or - for standard input.")
    ],
    jwks: Annotated[
        Path | None, typer.Option(help="The public keys; default: keys/jwks.json of this home.")
    ] = None,
    decision: Annotated[str | None, typer.Option(help="The id that it must be the receipt of.")] = None,
    answer: Annotated[Path | None, typer.Option(help="JSON file: the answer's `output`, redacted.")] = None,
    request: Annotated[Path | None, typer.Option(help="JSON file: the request's `input`, redacted.")] = None,
    max_age_s: Annotated[float | None, typer.Option(min=0, help="How old it may be, in seconds.")] = None,
    as_json: Json = False,
) -> None:
    """Check a receipt, offline, with the public keys alone. Exit code 1 when it cannot be trusted, or is not
    of the decision, answer or request that you say.

    Example: switchyard receipt verify answer.jws --jwks jwks.json --decision 0198f2…
    """
    from services.receipt_check import Expected, check_expected, verify_receipt

    if max_age_s is not None and not math.isfinite(max_age_s):
        raise ConfigError("max-age-s: expected a number of seconds")
    expected = Expected(decision, _read_object(answer), _read_object(request), max_age_s)
    try:
        claims = verify_receipt(_read_receipt(receipt), _read_jwks(jwks))
        check_expected(claims, expected, time.time())
    except ReceiptRefused as refused:
        if as_json:
            typer.echo(json.dumps({"valid": False, "reason": refused.message}))
        else:
            sys.stderr.write(f"not valid: {refused.message}\n")
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"valid": True, "claims": claims}))
    else:
        typer.echo(_as_text(claims))


def _as_text(claims: dict[str, Any]) -> str:
    tried = ", ".join(f"{attempt['target']} {attempt['outcome']}" for attempt in claims["attempts"])
    versions = ", ".join(f"{name} {str(value)[:12]}" for name, value in claims["versions"].items())
    return "\n".join(
        (
            f"valid: decision {claims['id']} of {claims['use_case']}, answered by {claims['route']}",
            f"tried: {tried}",
            f"versions: {versions}",
            f"journal: record {claims['journal']['seq']} of {claims['journal']['file']}",
        )
    )


def _read_receipt(given: str) -> str:
    try:
        if given == "-":
            return sys.stdin.read().strip()
        if given.count(".") == 2 and given.startswith("ey"):
            return given.strip()
        return Path(given).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        raise ConfigError("expected a receipt, or a file of UTF-8 text that holds one") from None


def _read_object(file: Path | None) -> dict[str, object] | None:
    if file is None:
        return None
    found = _read_json(file, "expected a file with one JSON object")
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: expected a file with one JSON object")
    return found


def _read_jwks(given: Path | None, *, or_none: bool = False) -> dict[str, Any]:
    from services.settings import load_settings

    file = given or load_settings().keys_dir / "jwks.json"
    if or_none and given is None and not file.exists():
        return {"keys": []}
    expected = "expected a JWKS file; fetch it from /.well-known/jwks.json"
    found = _read_json(file, expected)
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: {expected}")
    return found


def _read_json(file: Path, expected: str) -> object:
    """JSON that can be hashed: no NaN, no infinity, no half characters, not nested without end. Nothing of
    what the file holds is repeated."""
    from services.privacy.hashing import canonical_json

    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        canonical_json(found)
    except (OSError, ValueError, RecursionError):
        raise ConfigError(f"{file}: {expected}") from None
    return found


def _rows(covers: "tuple[RowCover, ...]") -> str:
    """What proves the rows of the decisions database; `--json` has it by file, with ids."""
    counts = (sum(c.journal for c in covers), sum(c.emptied for c in covers))
    alone = (sum(len(c.signed) for c in covers), sum(len(c.unproven) for c in covers))
    said = f"decisions database: {counts[0]} rows stand in the journal, {counts[1]} as tombstones"
    if any(alone):
        said += f"; of lost files, {alone[0]} have a signed hash and {alone[1]} nothing that proves them"
    return said


def _line(record: dict[str, Any]) -> str:
    at = str(record.get("ts", ""))[:19].replace("T", " ")
    begin = f"{record['id']}  {at}  {record['tenant']}  {record['use_case']}"
    if "removed" in record:
        return f"{begin}  content removed by retention"
    return f"{begin}  {record['route']}{'  degraded' if record['degraded'] else ''}"


def _journal() -> Path:
    from services.settings import load_settings

    return load_settings().journal_dir
