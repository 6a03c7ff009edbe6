"""Shipped decisions, in SQLite or PostgreSQL: found by id, and written exactly once.

How far a file is shipped moves in the same transaction as its rows, and only from where the writer
believed it to be: two shippers, or a shipper and retention, cannot undo each other's work.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from services.chain import GENESIS, from_line
from services.state.database import Database
from services.state.decision_tables import decisions, evidence_log, retentions, shipped

_AT_ONCE = 500  # ids in one query


class Raced(Exception):
    """Somebody else moved this file's position; read it anew."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file is shipped: its last record that was looked at, and where the next one begins."""

    seq: int = -1
    hash: str = GENESIS
    offset: int = 0
    rewrites: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One decision as it stands in a file. `line` is the journal's own."""

    id: str
    tenant: str
    use_case: str
    at: str
    file: str
    seq: int
    hash: str
    line: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What a comparison with the journal needs of a row: of its line, the digest alone, and what the line
    says of itself."""

    id: str
    tenant: str
    use_case: str
    at: str
    node: str
    hash: str
    line_sha256: str
    proves_itself: bool


class Decisions:
    """Every method raises `StateUnavailable` while the database cannot be reached."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, decision_id: str) -> Row | None:
        """One decision, whoever's it is: the caller checks the tenant."""
        query = select(*_COLUMNS).where(decisions.c.id == decision_id)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return Row(*row) if row is not None else None

    def lines(self, ids: Sequence[str]) -> dict[str, str]:
        """Id -> the journal's own line, of those that are there."""
        found: dict[str, str] = {}
        with self._database.reading() as connection:
            for first in range(0, len(ids), _AT_ONCE):
                some = decisions.c.id.in_(ids[first : first + _AT_ONCE])
                query = select(decisions.c.id, decisions.c.line).where(some)
                found.update(row._tuple() for row in connection.execute(query))
        return found

    def newest(
        self, count: int, tenant: str | None = None, use_case: str | None = None, before: str | None = None
    ) -> list[Row]:
        """The last ones, newest first; with `tenant` or `use_case`, of those only; with `before`, what comes
        after the decision with that id in this order: nothing after one that is not the tenant's."""
        query = select(*_COLUMNS).order_by(decisions.c.at.desc(), decisions.c.id.desc()).limit(count)
        if tenant is not None:
            query = query.where(decisions.c.tenant == tenant)
        if use_case is not None:
            query = query.where(decisions.c.use_case == use_case)
        if before is not None:
            last = select(decisions.c.at, decisions.c.id).where(decisions.c.id == before)
            if tenant is not None:
                last = last.where(decisions.c.tenant == tenant)
            place = last.subquery()
            earlier = (decisions.c.at == place.c.at) & (decisions.c.id < place.c.id)
            query = query.where((decisions.c.at < place.c.at) | earlier)
        with self._database.reading() as connection:
            return [Row(*row) for row in connection.execute(query)]

    def facts(self, file: str) -> dict[int, RowFacts]:
        """Record number -> row, of all rows that name this file, whatever node they name."""
        columns = [decisions.c[name] for name in ("id", "tenant", "use_case", "at", "node", "hash")]
        query = select(decisions.c.seq, decisions.c.line, *columns).where(decisions.c.file == file)
        found: dict[int, RowFacts] = {}
        with self._database.reading() as connection:
            for seq, line, *rest in connection.execute(query).yield_per(500):
                found[seq] = _facts(line, *rest)
        return found

    def files(self, node: str) -> frozenset[str]:
        """Files that this node's rows name."""
        with self._database.reading() as connection:
            query = select(decisions.c.file).where(decisions.c.node == node).distinct()
            return frozenset(file for (file,) in connection.execute(query))

    def other_nodes(self, node: str) -> dict[str, int]:
        """Node -> its rows, of all nodes but this one."""
        query = select(decisions.c.node, func.count()).where(decisions.c.node != node)
        with self._database.reading() as connection:
            return dict(row._tuple() for row in connection.execute(query.group_by(decisions.c.node)))

    def positions(self, node: str) -> dict[str, Position]:
        """File -> how far it is shipped, of one node."""
        table = shipped.c
        columns = (table.seq, table.hash, table.offset_bytes, table.rewrites, table.problem)
        with self._database.reading() as connection:
            rows = connection.execute(select(table.file, *columns).where(table.node == node))
            return {file: Position(*rest) for file, *rest in rows}

    def ship(self, node: str, file: str, before: Position, after: Position, rows: Sequence[Row]) -> list[str]:
        """Keep these decisions and move on, all or nothing. Returns the ids that another record of the
        journal had already. Raises `Raced`."""
        with self._database.writing() as connection:
            self._move(connection, node, file, before, after)
            if not rows:
                return []
            values = [{**_values(row), "node": node} for row in rows]
            connection.execute(_insert(connection, decisions).on_conflict_do_nothing(), values)
            places = select(decisions.c.seq).where(
                decisions.c.file == file, decisions.c.seq.between(rows[0].seq, rows[-1].seq)
            )
            there = {seq for (seq,) in connection.execute(places)}
            return [row.id for row in rows if row.seq not in there]

    def log_heads(self, node: str) -> dict[str, int]:
        """Log -> how many of its entries are here."""
        query = select(evidence_log.c.log, evidence_log.c.n).where(evidence_log.c.node == node)
        heads: dict[str, int] = {}
        with self._database.reading() as connection:
            for log, n in connection.execute(query):
                heads[log] = max(heads.get(log, 0), n + 1)
        return heads

    def keep_entries(self, node: str, log: str, first: int, entries: Sequence[str]) -> None:
        """Entries of the signed log from number `first` on; one that is here already stays as it is."""
        if not entries:
            return
        rows = [{"node": node, "log": log, "n": first + i, "entry": e} for i, e in enumerate(entries)]
        with self._database.writing() as connection:
            connection.execute(_insert(connection, evidence_log).on_conflict_do_nothing(), rows)

    def entries(self, node: str) -> dict[str, dict[int, str]]:
        """Log -> number -> entry."""
        query = select(evidence_log.c.log, evidence_log.c.n, evidence_log.c.entry)
        found: dict[str, dict[int, str]] = {}
        with self._database.reading() as connection:
            for log, n, entry in connection.execute(query.where(evidence_log.c.node == node)):
                found.setdefault(log, {})[n] = entry
        return found

    def applied_retentions(self, file: str) -> frozenset[str]:
        with self._database.reading() as connection:
            query = select(retentions.c.event).where(retentions.c.file == file)
            return frozenset(event for (event,) in connection.execute(query))

    def empty(self, node: str, file: str, event: str, tombstones: Mapping[int, str]) -> None:
        """Put tombstones (record number -> line) where contents were, and remember the event, all or
        nothing. Whoever ships this file meanwhile begins it anew."""
        with self._database.writing() as connection:
            moved = connection.execute(
                update(shipped)
                .where(shipped.c.file == file)
                .values(rewrites=shipped.c.rewrites + 1, offset_bytes=0)
            )
            if moved.rowcount == 0:
                connection.execute(insert(shipped).values(_position(node, file, Position(rewrites=1))))
            for seq, line in tombstones.items():
                here = (decisions.c.file == file) & (decisions.c.seq == seq)
                connection.execute(update(decisions).where(here).values(line=line))
            row = {"event": event, "file": file, "records": len(tombstones)}
            connection.execute(_insert(connection, retentions).on_conflict_do_nothing(), [row])

    def _move(self, connection: Connection, node: str, file: str, before: Position, after: Position) -> None:
        if before == Position():
            first = _insert(connection, shipped).on_conflict_do_nothing().values(_position(node, file, after))
            moved = connection.execute(first.returning(shipped.c.file)).first() is not None
        else:
            still = (
                (shipped.c.file == file)
                & (shipped.c.seq == before.seq)
                & (shipped.c.rewrites == before.rewrites)
            )
            change = update(shipped).where(still).values(_position(node, file, after))
            moved = connection.execute(change).rowcount == 1
        if not moved:
            raise Raced


_COLUMNS = tuple(
    decisions.c[name] for name in ("id", "tenant", "use_case", "at", "file", "seq", "hash", "line")
)


def _facts(line: str, id_: str, tenant: str, use_case: str, at: str, node: str, hash_: str) -> RowFacts:
    raw = line.encode("utf-8", "replace")
    try:
        link = from_line(raw)
        proves_itself = link.hash == hash_ and link.record.get("id") == id_
        proves_itself &= (link.record.get("tenant"), link.record.get("use_case")) == (tenant, use_case)
    except ValueError:
        proves_itself = False
    digest = hashlib.sha256(raw).hexdigest()
    return RowFacts(id_, tenant, use_case, at, node, hash_, digest, proves_itself)


def _values(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in Row.__slots__}


def _position(node: str, file: str, position: Position) -> dict[str, object]:
    return {
        "file": file, "node": node, "seq": position.seq, "hash": position.hash,
        "offset_bytes": position.offset, "rewrites": position.rewrites, "problem": position.problem,
    }  # fmt: skip


def _insert(connection: Connection, table: object) -> sqlite.Insert | postgresql.Insert:
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return make(table)  # type: ignore[arg-type]  # both take a Table
