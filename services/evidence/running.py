"""What a worker runs beside requests for its evidence: checkpoints and shipping, built from settings."""

import fcntl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from feature_checks.usecase import list_usecases, load_usecase
from registry.errors import RegistryError
from registry.log import read_log
from registry.settings import RegistrySettings
from services.errors import ConfigError
from services.evidence.checkpoints import Checkpointer
from services.evidence.copies import LogCopy
from services.evidence.entries import STAMP_TYPE, TYPE
from services.evidence.finder import DecisionFinder
from services.evidence.node import node_id
from services.evidence.orphans import Orphans
from services.evidence.retain import FileOutcome, retain
from services.evidence.retention import Rule, Rules
from services.evidence.shipper import Shipper
from services.evidence.shipping import Round, Shipment
from services.evidence.signed_log import SignedLog
from services.evidence.verify import EvidenceReport, verify_evidence
from services.evidence.vouching import Vouching
from services.journal import Journal
from services.journal_reader import Entry
from services.receipt_keys import public_jwks
from services.settings import ServiceSettings, load_settings
from services.signer import Signer
from services.state.database import DECISIONS, Database
from services.state.decisions import Decisions, Row


@dataclass(frozen=True, slots=True)
class Evidence:
    """Built once for each process. `close` comes after the journal was closed."""

    checkpointer: Checkpointer
    shipper: Shipper | None
    finder: DecisionFinder
    _database: Database

    def start(self) -> None:
        self.checkpointer.start()
        if self.shipper is not None:
            self.shipper.start()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with checkpoints or shipping; answers go on."""
        return (*self.checkpointer.problems, *(self.shipper.problems if self.shipper else ()))

    def newest(self, count: int, tenant: str, use_case: str | None, before: str | None) -> list[Row]:
        """A tenant's last decisions, as far as they are shipped. Raises `StateUnavailable`."""
        return Decisions(self._database).newest(count, tenant, use_case, before)

    def close(self) -> None:
        self.checkpointer.close()
        if self.shipper is not None:
            self.shipper.close()
        self._database.close()


def journal_stamp(settings: ServiceSettings) -> Callable[[str], str]:
    """Signs the names of new journal files."""
    signer = Signer(settings.keys_dir, STAMP_TYPE)
    return lambda file: signer.sign({"v": 1, "file": file})


def open_decisions(settings: ServiceSettings) -> Database:
    """The decisions database that the settings name. Connects to nothing yet."""
    url = settings.database_url
    return Database(settings.decisions_db if url is None else url.get_secret_value(), DECISIONS)


def signed_log(settings: ServiceSettings) -> SignedLog:
    node = node_id(settings.keys_dir)
    return SignedLog(settings.signed_log_dir, Signer(settings.keys_dir, TYPE), node)


def vouching(settings: ServiceSettings) -> Vouching:
    return Vouching(settings.signed_log_dir, lambda: public_jwks(settings.keys_dir))


def build_evidence(
    settings: ServiceSettings,
    journal: Journal,
    on_round: Callable[[Round | None], None] = lambda _: None,
    on_look: Callable[[int, int], None] = lambda *_: None,
) -> Evidence:
    """Raises `ConfigError` or `SigningUnavailable`; connects to nothing."""
    node = node_id(settings.keys_dir)
    copy = None
    if settings.checkpoints_dir is not None:
        copy = LogCopy(settings.signed_log_dir, settings.checkpoints_dir / node)
    checkpointer = Checkpointer(
        journal,
        settings.journal_dir,
        signed_log(settings),
        copy,
        Orphans(settings.journal_dir, settings.signed_log_dir, lambda: public_jwks(settings.keys_dir)),
        every_records=settings.checkpoint_records,
        every_s=settings.checkpoint_s,
        on_look=on_look,
    )
    database = open_decisions(settings)
    store = Decisions(database)
    shipper = None
    if settings.shipping:
        shipment = Shipment(settings.journal_dir, settings.signed_log_dir, store, node, vouching(settings))
        lock = settings.home / "shipping.lock"
        shipper = Shipper(shipment, lock, every_s=settings.shipping_s, on_round=on_round)
    finder = DecisionFinder(
        settings.journal_dir, store if settings.shipping else None, node, vouching(settings)
    )
    return Evidence(checkpointer, shipper, finder, database)


def find_in_home(decision_id: str) -> Entry | None:
    """One decision: in the database where there is one, else in the files."""
    settings = load_settings()
    has_store = settings.database_url is not None or settings.decisions_db.exists()
    node = node_id(settings.keys_dir) if (settings.keys_dir / "node.id").exists() else ""
    with open_decisions(settings) as database:
        store = Decisions(database) if has_store else None
        finder = DecisionFinder(settings.journal_dir, store, node, vouching(settings))
        return finder.find(decision_id, thorough=True)


def retain_home(now: datetime, *, dry_run: bool) -> list[FileOutcome]:
    """Carry out retention in this home, one command at a time. Raises `ConfigError`."""
    settings = load_settings()
    specs = {name: load_usecase(name, settings.usecases_dir).retention for name in _served(settings)}
    rules = {n: Rule(spec.default_days, spec.by_tag) for n, spec in specs.items() if spec is not None}
    node = node_id(settings.keys_dir)
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "retention.lock").open("ab") as lock, open_decisions(settings) as database:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError("another `audit retain` is at work; wait until it has ended") from None
        # Under the lock: what another run of this command did meanwhile is judged as it stands now.
        suspect = verify_home(public_jwks(settings.keys_dir)).suspect
        has_store = settings.database_url is not None or settings.decisions_db.exists()
        try:
            return list(
                retain(
                    settings.journal_dir,
                    Rules(rules, Rule(settings.retention_days)),
                    now,
                    signed_log(settings),
                    Decisions(database) if has_store else None,
                    node,
                    dry_run=dry_run,
                    suspect=suspect,
                )
            )
        except OSError as error:
            raise ConfigError(
                f"stopped: journal or checkpoints cannot be written ({error.strerror}); run it again then"
            ) from error


def _served(settings: ServiceSettings) -> list[str]:
    return list_usecases(settings.usecases_dir)


def verify_home(jwks: Mapping[str, Any], copies: Sequence[Path] = ()) -> EvidenceReport:
    """All evidence of this home, as the settings name its places."""
    settings = load_settings()
    node = node_id(settings.keys_dir) if (settings.keys_dir / "node.id").exists() else ""
    places = {str(folder): folder for folder in copies}
    if settings.checkpoints_dir is not None:
        places["SWITCHYARD_CHECKPOINTS_DIR"] = settings.checkpoints_dir / node
    with open_decisions(settings) as database:
        has_store = settings.database_url is not None or settings.decisions_db.exists()
        store = Decisions(database) if has_store else None
        report = verify_evidence(settings.journal_dir, settings.signed_log_dir, places, jwks, node, store)
    try:
        return replace(report, promotions=len(read_log(RegistrySettings(home=settings.home))))
    except RegistryError as broken:
        return replace(report, problems=(*report.problems, str(broken)))
