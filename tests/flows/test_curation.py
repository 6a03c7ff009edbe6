"""Curation: what traffic may teach, and what never."""

import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from feature_checks.suspects import Suspect
from feature_checks.usecase import UseCase, load_usecase
from flows.curation import curate
from flows.errors import StepError
from flows.held_back import ask_people
from flows.params import Params
from flows.snapshot_versions import add_version
from flows.snapshots import drop_expired, newest_snapshot, read_snapshot
from services.review_desk import open_reviews
from services.settings import load_settings
from services.state.reviews import ReviewStore
from tests.flows.journals import Traffic
from tests.toy import write_text_usecase

LEARNING = {"purposes": ["service"], "never_tags": ["secret"], "tenant_share": 1.0}
ENDINGS = {"lost": "it never came", "late": "it should have been here", "broken": "it arrived in pieces"}
Make = Callable[..., tuple[UseCase, Traffic]]


@pytest.fixture
def make(place: Path, toy_kind: None) -> Make:
    def made(**changes: Any) -> tuple[UseCase, Traffic]:
        write_text_usecase(place / "usecases", **{"learning": LEARNING, **changes})
        return load_usecase("parcels"), Traffic(place / "home" / "journal", "parcels", "kind")

    return made


def snapshot(usecase: UseCase, place: Path, **more: Any) -> Any:
    return curate(usecase, "sample", place / "home" / "journal", Params(), **more)


def text(n: int, label: str) -> dict[str, str]:
    return {"text": f"caller number {n} says {ENDINGS[label]}"}


def test_a_model_never_learns_from_itself_and_a_confirmed_answer_is_weak(make: Make, place: Path) -> None:
    usecase, traffic = make()
    traffic.decided(text(1, "lost"), "lost", route="local")  # nobody said anything
    confirmed = traffic.decided(text(2, "late"), "late", route="local")
    traffic.said(confirmed, "r1", "late")
    corrected = traffic.decided(text(3, "broken"), "late", route="local")
    traffic.said(corrected, "r1", "broken")
    traffic.decided(text(4, "lost"), "lost")  # of the cloud, unconfirmed
    rows = snapshot(usecase, place).rows.set_index("decision_id")
    assert rows["weak"].to_dict() == {confirmed: True, corrected: False}
    assert rows.loc[confirmed, "weight"] < rows.loc[corrected, "weight"] == 1.0
    assert rows.loc[corrected, "kind"] == "broken"


def test_a_cloud_answer_is_a_weak_label_only_where_the_use_case_says_so(make: Make, place: Path) -> None:
    usecase, traffic = make(learning={**LEARNING, "cloud_labels": True})
    made = traffic.decided(text(1, "lost"), "lost")
    rows = snapshot(usecase, place).rows
    assert rows[["decision_id", "source", "weak"]].values.tolist() == [[made, "cloud", True]]


def test_packed_files_of_the_journal_teach_as_well(make: Make, place: Path) -> None:
    usecase, traffic = make()
    made = traffic.decided(text(1, "late"), "lost", route="local")
    traffic.said(made, "r1", "late")
    traffic.close()
    (written,) = (place / "home" / "journal").glob("*.jsonl")
    (written.parent / f"{written.name}.gz").write_bytes(gzip.compress(written.read_bytes()))
    written.unlink()
    assert snapshot(usecase, place).rows["decision_id"].tolist() == [made]


def test_consent_tags_age_and_retention_keep_rows_out(make: Make, place: Path) -> None:
    usecase, traffic = make(retention={"default_days": 30, "by_tag": {"health": 1}})
    for n, more in enumerate(({"purpose": "marketing"}, {"tags": ("secret",)}, {"tags": ("health",)}, {})):
        traffic.said(traffic.decided(text(n, "lost"), None, **more), "r1", "lost")
    soon = datetime.now(UTC) + timedelta(days=2)
    found = snapshot(usecase, place, now=soon)
    assert len(found.rows) == 1
    assert sorted(found.notes["left_out"].values()) == [1, 1, 1]
    later = soon + timedelta(days=40)
    with pytest.raises(StepError, match="retention is over"):
        read_snapshot(found.folder, later)
    again = snapshot(usecase, place, now=later)
    assert not found.folder.exists()
    assert len(again.rows) == 0


def test_retention_of_the_deployment_and_of_disputed_rows_ends_a_snapshot(make: Make, place: Path) -> None:
    """What is held back is kept no longer than what is learned."""
    usecase, traffic = make()
    made = traffic.decided(text(1, "lost"), None)
    traffic.said(made, "r1", "lost")
    traffic.said(made, "r2", "late")
    found = snapshot(usecase, place, keep_days=30)
    assert found.notes["quarantine"]["checks"] == {"dispute": 1}
    assert found.notes["keep_until"] is not None
    later = datetime.now(UTC) + timedelta(days=31)
    assert len(snapshot(usecase, place, keep_days=30, now=later).rows) == 0
    assert not found.folder.exists()


def test_what_killed_runs_leave_and_what_was_trained_on_goes_with_retention(make: Make, place: Path) -> None:
    """Also where no new snapshot can be made, and where one cannot say when it ends."""
    usecase, traffic = make(retention={"default_days": 30})
    traffic.said(traffic.decided(text(1, "lost"), None), "r1", "lost")
    found = snapshot(usecase, place)
    half, torn = found.folder.with_name(".0"), found.folder.with_name("1")
    build = place / "build" / "parcels" / f"sample-{found.digest[:12]}"
    other = place / "build" / "parcels" / "sample"
    for folder in (half, torn, build, other):
        folder.mkdir(parents=True)
    (torn / "snapshot.json").write_text("{")
    silent = usecase.model_copy(update={"learning": None})
    with pytest.raises(StepError, match="has no `learning:`"):
        snapshot(silent, place, now=datetime.now(UTC) + timedelta(days=31))
    assert [one.exists() for one in (found.folder, half, torn, build, other)] == [False] * 4 + [True]


def test_people_who_differ_teach_nothing_and_their_case_is_quarantined(make: Make, place: Path) -> None:
    usecase, traffic = make()
    made = traffic.decided(text(1, "lost"), None)
    traffic.said(made, "r1", "lost")
    traffic.said(made, "r2", "late")
    found = snapshot(usecase, place)
    assert found.notes["quarantine"] == {"rows": 1, "checks": {"dispute": 1}}
    traffic.said(made, "r3", "late")
    assert snapshot(usecase, place).rows["kind"].tolist() == ["late"]


def test_who_says_only_that_it_was_wrong_differs_from_who_confirms(make: Make, place: Path) -> None:
    """A reviewer without a better label is heard as well."""
    usecase, traffic = make()
    made = traffic.decided(text(1, "lost"), "lost", route="local")
    traffic.said(made, "r1", None)
    traffic.said(made, "caller", "lost")
    found = snapshot(usecase, place)
    assert (len(found.rows), found.notes["quarantine"]["checks"]) == (0, {"dispute": 1})
    traffic.said(made, "r2", "late")
    traffic.said(made, "r3", "late")
    assert snapshot(usecase, place).rows["kind"].tolist() == ["late"]


def test_a_quarantined_row_goes_to_people_and_their_word_decides(
    make: Make, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command that curation calls, into the real queue; kept in the snapshot until it is settled."""
    usecase, traffic = make(review={"max_queue": 4})
    made = traffic.decided(text(1, "lost"), "lost")
    for source, label in (("r1", "late"), ("r2", "broken")):
        traffic.said(made, source, label)
    held = snapshot(usecase, place)
    monkeypatch.setenv("SWITCHYARD_USECASES", str(place / "usecases"))
    assert ask_people(usecase, held) == {
        "enqueued": 1, "repeated": 0, "dropped": 0, "unusable": 0, "later": 0
    }  # fmt: skip
    with open_reviews(load_settings()) as database:
        (review,) = ReviewStore(database).waiting("acme", "anyone", None, "2000", 10)
    assert (review.why, review.decision_id) == ("quarantined,dispute", made)
    traffic.said(made, "r3", "late", settles=True)
    settled = snapshot(usecase, place)
    assert settled.rows[["decision_id", "kind"]].values.tolist() == [[made, "late"]]
    assert settled.notes["quarantine"]["rows"] == 0


def test_a_label_that_people_settled_is_not_held_back_again(
    make: Make, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However sure the models are that it is wrong."""
    usecase, traffic = make()
    made = [traffic.decided(text(n, "lost"), "lost", route="local") for n in (1, 2)]
    monkeypatch.setattr(
        "flows.curation.suspects",
        lambda base, rows, *_: [Suspect(n, "label_error", "x") for n in range(len(rows))],
    )
    traffic.said(made[0], "r1", "late")
    traffic.said(made[1], "r1", "late")
    traffic.said(made[1], "r2", "broken", settles=True)
    found = snapshot(usecase, place)
    assert found.rows[["decision_id", "kind"]].values.tolist() == [[made[1], "broken"]]
    assert found.notes["quarantine"]["checks"] == {"label_error": 1}


def test_a_queue_that_cannot_be_reached_loses_nothing(
    make: Make, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usecase, traffic = make()
    made = traffic.decided(text(1, "lost"), "lost")
    for source, label in (("r1", "late"), ("r2", "broken")):
        traffic.said(made, source, label)
    held = snapshot(usecase, place)
    monkeypatch.setattr("flows.held_back.sys.executable", str(place / "gone"))
    assert "could not be reached" in ask_people(usecase, held)["failed"]
    assert snapshot(usecase, place).notes["quarantine"]["rows"] == 1


def test_agreement_is_asked_for_where_the_use_case_says_so(make: Make, place: Path) -> None:
    usecase, traffic = make(review={"agreement": 2})
    made = traffic.decided(text(1, "lost"), None)
    traffic.said(made, "r1", "lost")
    traffic.said(made, "r1", "lost")  # the same key twice is one word
    assert len(snapshot(usecase, place).rows) == 0
    traffic.said(made, "r2", "lost")
    assert len(snapshot(usecase, place).rows) == 1


def test_another_tenants_word_is_not_heard(make: Make, place: Path) -> None:
    usecase, traffic = make()
    traffic.said(traffic.decided(text(1, "lost"), None), "r1", "lost", tenant="globex")
    assert len(snapshot(usecase, place).rows) == 0


def test_repeats_and_rows_that_models_are_tested_on_stay_out(make: Make, place: Path) -> None:
    usecase, traffic = make()
    for label in ("lost", "lost", "late"):
        traffic.said(traffic.decided({"text": "The  same words"}, None), "r1", label)
    from feature_checks.datasets import default_cache_dir, load_labelled

    tested = load_labelled(usecase, "sample", default_cache_dir()).test.iloc[0]
    traffic.said(traffic.decided({"text": tested["text"].upper()}, None), "r1", tested["kind"])
    found = snapshot(usecase, place)
    assert found.rows["kind"].tolist() == ["lost"]
    assert found.notes["quarantine"]["checks"] == {"contradiction": 1}
    assert sum(found.notes["left_out"].values()) == 2


def test_characters_that_nobody_sees_make_no_other_message(make: Make, place: Path) -> None:
    """A key for each copy of a lie: the flood is one row."""
    usecase, traffic = make()
    for n in range(8):
        hidden = "caller" + "\u200b" * n + "\u00ad says it is here"
        traffic.said(traffic.decided({"text": hidden}, None), f"r{n}", "late")
    assert snapshot(usecase, place).notes["left_out"] == {"repeats a row that is there already": 7}


def test_the_same_journal_gives_the_same_snapshot_and_more_of_it_another(make: Make, place: Path) -> None:
    usecase, traffic = make()
    for n in range(6):
        traffic.said(traffic.decided(text(n, "lost"), None), f"r{n % 2}", "lost")
    first = snapshot(usecase, place)
    assert snapshot(usecase, place).folder == first.folder
    traffic.said(traffic.decided(text(9, "late"), None), "r1", "late")
    second = snapshot(usecase, place)
    assert second.folder != first.folder
    newest = newest_snapshot(first.folder.parent, datetime.now(UTC))
    assert newest is not None
    assert newest.notes["made_at"] >= first.notes["made_at"]


def test_a_changed_line_or_snapshot_is_not_learned_from(make: Make, place: Path) -> None:
    usecase, traffic = make()
    for n in range(3):
        traffic.said(traffic.decided(text(n, "lost"), None), "r1", "lost")
    traffic.close()
    (file,) = (place / "home" / "journal").glob("*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    said = next(i for i, line in enumerate(lines) if b'"kind":"feedback"' in line)
    lines[said] = lines[said].replace(b"lost", b"late")
    file.write_bytes(b"".join(lines))
    found = snapshot(usecase, place)
    assert len(found.rows) == 2
    assert found.notes["journal"]["unusable_feedback_lines"] == 1
    found.rows.assign(kind="late").to_parquet(found.folder / "rows.parquet", index=False)
    with pytest.raises(StepError, match="not what its name says"):
        read_snapshot(found.folder)


def test_a_use_case_that_does_not_allow_learning_is_told_what_to_write(make: Make, place: Path) -> None:
    usecase, _ = make(learning=None)
    with pytest.raises(StepError, match="learning"):
        snapshot(usecase, place)


def test_a_label_is_bounded_and_one_tenant_cannot_hold_most_of_it(make: Make, place: Path) -> None:
    rules = {**LEARNING, "max_per_label": 12, "tenant_share": 0.5}
    usecase, traffic = make(learning=rules)
    for n in range(30):
        tenant = "acme" if n < 24 else "globex"
        traffic.said(traffic.decided(text(n, "lost"), None, tenant=tenant), f"r{n % 7}", "lost", tenant)
    found = snapshot(usecase, place)
    tenants = found.notes["counts"]["tenants"]
    assert sum(tenants.values()) <= 12
    assert tenants.get("acme", 0) <= 7


def test_dvc_has_each_snapshot_can_bring_it_back_and_keeps_nothing_beyond_retention(
    make: Make, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command itself, without git, and again without a change."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(place / "site-cache"))
    usecase, traffic = make(retention={"default_days": 30})
    traffic.said(traffic.decided(text(1, "lost"), None), "r1", "lost")
    found = snapshot(usecase, place)
    assert "dvc init" in add_version(found.folder)["unversioned"]
    (place / ".dvc").mkdir()
    (place / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    version = add_version(found.folder)
    assert add_version(found.folder) == version
    assert version["version"].endswith(".dir"), version
    shutil.rmtree(found.folder)
    subprocess.run([sys.executable, "-m", "dvc", "checkout", "-q", version["dvc"]], cwd=place, check=True)
    assert read_snapshot(found.folder).digest == found.digest
    later = datetime.now(UTC) + timedelta(days=40)
    drop_expired(found.folder.parent, later)
    assert not [one for one in found.folder.parent.iterdir() if found.folder.name in one.name]
    assert not [one for one in (place / ".dvc" / "cache" / "files").rglob("*") if one.is_file()]
