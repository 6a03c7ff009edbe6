"""Answers kept for a repeated request (`Idempotency-Key`): the same request is answered once.

Everything kept is keyed hashes and a redacted response. Shared by all workers through the database.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from services.errors import Conflict, InputError
from services.state.database import Database
from services.state.tables import idempotency

FIELD = "idempotency-key"


@dataclass(frozen=True, slots=True)
class Kept:
    """The first answer: whose it was, and its redacted JSON."""

    request_id: str
    response: str


class Repeats:
    """First come, first answered; later ones with the same key and body get the same answer."""

    def __init__(self, database: Database, keep_s: float) -> None:
        self._database = database
        self._keep_s = keep_s

    def begin(
        self, tenant: str, key_hash: str, body_hash: str, request_id: str, now: datetime, work_s: float
    ) -> Kept | None:
        """None: this is the first, go to work (for at most `work_s`). Else the answer that was given.

        Raises `InputError` for another body under the same key, `Conflict` while the first is at work.
        """
        row = {
            "tenant": tenant,
            "key_hash": key_hash,
            "body_hash": body_hash,
            "request_id": request_id,
            "response": None,
            "expires_at": (now + timedelta(seconds=work_s)).isoformat(),
        }
        with self._database.writing() as connection:
            connection.execute(delete(idempotency).where(idempotency.c.expires_at <= now.isoformat()))
            try:
                with connection.begin_nested():
                    connection.execute(insert(idempotency).values(row))
                return None
            except IntegrityError:
                found = connection.execute(select(idempotency).where(_is(tenant, key_hash))).mappings().one()
        if found["body_hash"] != body_hash:
            raise InputError(FIELD, f"{FIELD}: was used before with another body; use a new key")
        if found["response"] is None:
            raise Conflict("the first request with this idempotency key is still at work; retry in 1 s")
        return Kept(found["request_id"], found["response"])

    def keep(self, tenant: str, key_hash: str, response: str, now: datetime) -> None:
        """The answer of a request that `begin` let through. `response` must be redacted."""
        expires = (now + timedelta(seconds=self._keep_s)).isoformat()
        with self._database.writing() as connection:
            connection.execute(
                update(idempotency).where(_is(tenant, key_hash)).values(response=response, expires_at=expires)
            )

    def abandon(self, tenant: str, key_hash: str) -> None:
        """The request failed: the next one with this key goes to work again."""
        with self._database.writing() as connection:
            connection.execute(
                delete(idempotency).where(_is(tenant, key_hash), idempotency.c.response.is_(None))
            )


def _is(tenant: str, key_hash: str) -> ColumnElement[bool]:
    return (idempotency.c.tenant == tenant) & (idempotency.c.key_hash == key_hash)
