"""What MLflow shows of a version's data is read out of its signed evidence, and of nothing else."""

import json

import pytest

from registry.evidence import DataEvidence, statement
from registry.lineage import lineage_of
from tests.registry.test_evidence import evidence

FILE = DataEvidence(
    role="train-file", sha256="d" * 64, rows=3, dvc_md5="e" * 32, uri="https://data.example/t.csv"
)
ROWS = DataEvidence(role="train", sha256="f" * 64, rows=2)


def said() -> bytes:
    return json.dumps(statement(evidence(data=(ROWS, FILE)), {"model.onnx": "a" * 64})).encode()


def test_a_file_is_known_by_its_dvc_hash_and_comes_first() -> None:
    file, rows = lineage_of(said()).inputs
    assert (file.name, file.digest, file.sha256, file.context) == (
        "parcels/train-file", "e" * 32, "d" * 64, "train-file",
    )  # fmt: skip
    assert (json.loads(file.source), file.source_type) == ({"url": "https://data.example/t.csv"}, "http")
    assert json.loads(file.profile or "") == {"num_rows": 3}
    assert (rows.digest, json.loads(rows.source)) == ("f" * 36, {"uri": f"sha256:{'f' * 64}"})


def test_the_description_of_a_version_holds_each_hash_in_full() -> None:
    text = lineage_of(said()).description or ""
    assert all(one in text for one in ("d" * 64, "e" * 32, "f" * 64, "c" * 40))


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"[]",
        b"no json",
        b'{"predicate": null}',
        b'{"predicate": {"buildDefinition": []}}',
        b"[" * 9999,
    ],
)
def test_another_document_shows_nothing(raw: bytes) -> None:
    assert lineage_of(raw).inputs == ()
    assert lineage_of(raw).description is None
