"""Carries a promotion out, one at a time for each model: signed into the log, then MLflow, then placed here.

The order makes a crash repeatable: what is only logged is seen and done again, what is only moved is placed
by the next run, and the alias never means what the log does not vouch for.
"""

import fcntl
import getpass
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol

from registry.errors import ModelNotFound, MoveRefused, PromotionRaced
from registry.log import LogEntry, append, append_line, read_log
from registry.placing import PackageSource, place, unplace
from registry.promotion import PromotionDecision
from registry.records import ModelRef
from registry.settings import RegistrySettings


class AliasStore(PackageSource, Protocol):
    """What of `store.Registry` is needed to move an alias."""

    def set_alias(self, name: str, alias: str, version: int, line: str | None = None) -> None: ...

    def drop_alias(self, name: str, alias: str) -> None: ...

    def note(self, ref: ModelRef, tags: Mapping[str, str]) -> None: ...


@contextmanager
def promoting(name: str, settings: RegistrySettings, wait: bool = False) -> Iterator[None]:
    """One promotion of this model at a time in this home. Raises `PromotionRaced`, unless it is to `wait`."""
    settings.home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.home / f".promoting-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PromotionRaced(
                f"another promotion of '{name}' is under way; look at `switchyard registry log` when it has "
                "ended, and decide again"
            ) from None
        yield
    finally:
        os.close(descriptor)


def promote(
    ref: ModelRef,
    alias: str,
    decision: PromotionDecision,
    before: ModelRef | None,
    settings: RegistrySettings,
    store: AliasStore,
    *,
    by: str,
    override: str | None = None,
) -> bool:
    """Log the decision, and move `alias` to `ref` and place it when the gate is open or was overridden.

    `before` is what `alias` meant when the decision was made. Call inside `promoting`. Raises
    `PromotionRaced` when it means another one by now, `PackageRefused`, and what the store raises.
    """
    granted = decision.open or override is not None
    kind = "refusal" if not granted else "promotion" if decision.open else "override"
    if granted and (now := meant(ref.name, alias, store)) != before:
        got = f"version {now.version}" if now else "none"
        raise PromotionRaced(
            f"'{ref.name}@{alias}' was moved to {got} while version {ref.version} was judged; judge it anew"
        )
    body = {
        **asdict(ref),
        "alias": alias,
        "before": asdict(before) if before else None,
        "gates": [asdict(gate) for gate in decision.gates],
        "by": by,
    }
    if kind == "override":
        body["reason"] = override
    # Written first: a promotion that then failed can be seen, one that nobody wrote down cannot.
    line = append_line(kind, body, settings)
    store.note(ref, {f"gate.{alias}": f"{'open' if decision.open else 'shut'}: {decision.reason}"[:500]})
    if granted:
        store.set_alias(ref.name, alias, ref.version, line)
        place(ref.name, alias, settings, store)
    return granted


def withdraw(
    name: str, alias: str, reason: str, settings: RegistrySettings, store: AliasStore, *, by: str
) -> None:
    """Let `alias` mean nothing: logged, then dropped in MLflow, then here. Call inside `promoting`."""
    body = {"name": name, "alias": alias, "version": None, "digest": None, "reason": reason, "by": by}
    append("withdrawal", body, settings)
    store.drop_alias(name, alias)
    unplace(name, alias, settings)


def open_freeze(usecase: str, settings: RegistrySettings) -> str | None:
    """Why nothing of this use case may be promoted: its last freeze in the log, unless it was ended."""
    last: LogEntry | None = None
    for entry in read_log(settings):
        if entry.kind in ("freeze", "unfreeze") and entry.body.get("use_case") == usecase:
            last = entry
    if last is None or last.kind == "unfreeze":
        return None
    return f"{last.body.get('reason')} (by {last.body.get('by')} at {last.at[:19]}Z)"


def freeze(usecase: str, reason: str, settings: RegistrySettings, *, by: str, on: bool) -> int:
    """Write the beginning or the end of a freeze into the log; returns the entry's number."""
    body: dict[str, Any] = {"use_case": usecase, "reason": reason, "by": by}
    return append("freeze" if on else "unfreeze", body, settings)


def who() -> str:
    """The person at the keyboard; in GitHub Actions, whoever started the workflow."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        actor, run = os.environ.get("GITHUB_ACTOR", "unknown"), os.environ.get("GITHUB_RUN_ID", "unknown")
        return f"github {actor}, run {run}"[:128]
    try:
        return f"operator {getpass.getuser()}"[:128]
    except (OSError, KeyError):  # a container's user may have no name
        return "operator"


def meant(name: str, alias: str, store: PackageSource) -> ModelRef | None:
    """What `alias` means by a signed promotion, or None when it means nothing that one vouches for."""
    try:
        return store.resolve(name, alias)
    except (ModelNotFound, MoveRefused):
        return None
