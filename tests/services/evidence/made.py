"""A small home with a real journal, checkpoints, a copy of them and a decisions database."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from services.api.messages import new_id
from services.evidence.checkpoints import Checkpointer
from services.evidence.copies import LogCopy
from services.evidence.entries import STAMP_TYPE, TYPE
from services.evidence.finder import DecisionFinder
from services.evidence.shipping import Shipment
from services.evidence.signed_log import SignedLog, utc_text
from services.evidence.verify import EvidenceReport, verify_evidence
from services.evidence.vouching import Vouching
from services.journal import Journal
from services.journal_file import utc_now
from services.receipt_keys import public_jwks
from services.signer import Signer
from services.state.database import DECISIONS, Database, Schema
from services.state.decisions import Decisions
from services.synthesis import Outcome
from services.values import Envelope

NODE = "0123456789abcdef"
POSTGRES_URL = os.environ.get("SWITCHYARD_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
KINDS = ("sqlite", "postgres")
OUTCOME = Outcome("local", {"reply": "An answer."}, "0" * 64, 0.9, False, (), (), (), {"config": "c"}, 0.0)


def envelope(tenant: str = "acme", use_case: str = "any", tags: tuple[str, ...] = ()) -> Envelope:
    return Envelope(new_id(), use_case, tenant, {"text": "planted words"}, frozenset(tags), "0" * 64)


def need_postgres() -> None:
    """Skip where there is no PostgreSQL; in CI that is a failure."""
    host = POSTGRES_URL.split("@")[-1].split("/")[0]
    name, _, port = host.partition(":")
    try:
        socket.create_connection((name, int(port or 5432)), timeout=1).close()
    except OSError:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs a PostgreSQL; SWITCHYARD_TEST_POSTGRES_URL says where")
        pytest.skip("no PostgreSQL")


@contextmanager
def opened(kind: str, folder: Path, tables: Schema = DECISIONS) -> Iterator[Database]:
    """A decisions (or other) database of the test's own: a file, or a schema in the real PostgreSQL."""
    if kind == "sqlite":
        with Database(folder / f"{tables.name}.db", tables) as database:
            yield database
        return
    need_postgres()
    schema = f"t{uuid4().hex}"
    admin = create_engine(POSTGRES_URL.replace("postgresql://", "postgresql+psycopg://"))
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        with Database(f"{POSTGRES_URL}?options=-csearch_path%3D{schema}", tables) as database:
            yield database
    finally:
        with admin.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        admin.dispose()


class Home:
    """One worker's evidence, driven step by step."""

    def __init__(self, folder: Path, database: Database, now=utc_now, log_now=utc_text, **options) -> None:
        self.folder, self.keys = folder, folder / "keys"
        self.journal_dir, self.logs, self.copy = folder / "journal", folder / "checkpoints", folder / "copy"
        stamper = Signer(self.keys, STAMP_TYPE)
        self.journal = Journal(
            self.journal_dir, stamp=lambda file: stamper.sign({"v": 1, "file": file}), now=now, **options
        )
        self.log = SignedLog(self.logs, Signer(self.keys, TYPE), NODE, now=log_now)
        self.checkpointer = Checkpointer(
            self.journal, self.journal_dir, self.log, LogCopy(self.logs, self.copy),
            every_records=1000, every_s=3600,
        )  # fmt: skip
        self.store = Decisions(database)

    async def append(self, count: int = 1, **values) -> list[str]:
        envelopes = [envelope(**values) for _ in range(count)]
        for one in envelopes:
            await self.journal.append(one, OUTCOME)
        return [one.id for one in envelopes]

    def shipment(self, **options) -> Shipment:
        return Shipment(self.journal_dir, self.logs, self.store, NODE, self.vouching(), **options)

    def vouching(self) -> Vouching:
        return Vouching(self.logs, lambda: public_jwks(self.keys))

    def finder(self) -> DecisionFinder:
        return DecisionFinder(self.journal_dir, self.store, NODE, self.vouching())

    def ship(self) -> None:
        shipment = self.shipment()
        while shipment.round().more:
            pass

    def close(self) -> None:
        self.journal.close()
        self.checkpointer.close()

    def verify(self, database: bool = False, copy: bool = True) -> EvidenceReport:
        copies = {"copy": self.copy} if copy else {}
        store = self.store if database else None
        return verify_evidence(self.journal_dir, self.logs, copies, public_jwks(self.keys), NODE, store)
