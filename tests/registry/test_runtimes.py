"""A verified package of texts is opened without training libraries, or refused with a reason."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from registry.errors import PackageInvalid
from registry.packages import PackageManifest
from registry.records import Acceptance
from registry.runtimes import open_predictor
from registry.runtimes.deferral import ROWS, RULE
from registry.runtimes.onnx_session import open_session
from registry.runtimes.text_classifier import MODEL, TOKENIZER, VOCABULARY, TextPredictor
from registry.runtimes.text_features import Block, Featuriser, TextTokenizer, clean, join_fields

LABELS = ("yes", "no")
WORDS = {"[UNK]": 0, "good": 1, "bad": 2}


def tokenizer_bytes() -> bytes:
    made = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made.to_str().encode()


def graph_bytes(labels: int = 2) -> bytes:
    """Mean of one row a token plus the weighted sum of one row a column, and a softmax."""
    tokens = np.zeros((len(WORDS), labels), np.float32)
    tokens[1, 0], tokens[2, 1] = 2.0, 2.0
    columns = np.zeros((3, labels), np.float32)
    columns[2, 0] = 1.0
    node = helper.make_node
    graph = helper.make_graph(
        [
            node("Gather", ["token_table", "tokens"], ["token_rows"]),
            node("ReduceMean", ["token_rows"], ["mean"], axes=[0], keepdims=0),
            node("Gather", ["column_table", "columns"], ["column_rows"]),
            node("MatMul", ["weights", "column_rows"], ["sum"]),
            node("Add", ["mean", "sum"], ["scores"]),
            node("Softmax", ["scores"], ["probabilities"], axis=-1),
        ],
        "tiny",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["t"]),
            helper.make_tensor_value_info("columns", TensorProto.INT64, ["m"]),
            helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["m"]),
        ],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [labels])],
        [numpy_helper.from_array(tokens, "token_table"), numpy_helper.from_array(columns, "column_table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    content: bytes = model.SerializeToString()
    return content


def vocabulary_bytes(idf: list[float] | None = None) -> bytes:
    blocks = {
        "tokens": {"names": ["1", "1 2"], "idf": idf or [1.0, 2.0]},
        "chars": {"names": ["ood"], "idf": [1.5]},
    }
    return json.dumps(blocks).encode()


@dataclass
class FakePackage:
    """Bytes by name, and a manifest: all that a runtime may ask for."""

    files: dict[str, bytes] = field(
        default_factory=lambda: {
            MODEL: graph_bytes(),
            TOKENIZER: tokenizer_bytes(),
            VOCABULARY: vocabulary_bytes(),
        }
    )
    kind: str = "text_classifier"
    labels: tuple[str, ...] = LABELS
    inputs: tuple[str, ...] = ("text",)
    asked: list[str] = field(default_factory=list)

    @property
    def manifest(self) -> PackageManifest:
        rule = Acceptance(threshold=0.5, max_error=0.1, confidence=0.9, method="none")
        return PackageManifest(
            format_version=1, name="tiny", kind=self.kind, labels=self.labels, inputs=self.inputs,
            acceptance=rule, contract_version="1", files=tuple(self.files),
        )  # fmt: skip

    def read(self, name: str) -> bytes:
        self.asked.append(name)
        return self.files[name]


def test_the_label_and_its_probability_come_out() -> None:
    """`good` speaks for the first label, `bad` for the second; both bring a proper probability."""
    predictor = open_predictor(FakePackage())
    assert predictor.labels == LABELS
    assert predictor.predict({"text": "good"}).label == "yes"
    found = predictor.predict({"text": "bad bad"})
    assert found.label == "no"
    assert found.confidence == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-6)


@pytest.mark.parametrize(
    "text",
    ["", " \n ", "🙂", "لم يصل", "\ud83d", "\x00", "good " * 2000, "<CARD_1>", "ｇｏｏｄ"],
    ids=[
        "empty",
        "blank",
        "emoji",
        "right to left",
        "half a pair",
        "NUL",
        "long",
        "placeholder",
        "full width",
    ],
)
def test_every_text_has_a_finite_answer_that_repeats(text: str) -> None:
    """The same to the last bit, alone or among others."""
    predictor = open_predictor(FakePackage())
    alone = predictor.probabilities([{"text": text}])
    among = predictor.probabilities([{"text": "good"}, {"text": text}, {"text": "bad"}])
    assert np.isfinite(alone).all()
    assert alone.sum() == pytest.approx(1, abs=1e-6)
    assert (among[1] == alone[0]).all()
    assert predictor.predict({"text": text}).confidence == float(alone.max())


def test_no_rows_give_no_probabilities() -> None:
    """Shape (0, k), so that callers may go on."""
    assert open_predictor(FakePackage()).probabilities([]).shape == (0, 2)


def test_fields_are_joined_in_the_order_of_the_package() -> None:
    """Only strings are read; a missing field is an empty one."""
    assert join_fields({"b": "two", "a": "one", "n": 3}, ("a", "n", "b", "missing")) == "one\ntwo"
    predictor = open_predictor(FakePackage(inputs=("title", "body")))
    together = predictor.probabilities([{"title": "good", "body": "bad"}, {"body": "good bad"}])
    assert (together[0] == together[1]).all()


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(PackageInvalid, match=r"kind: expected one of .*text_classifier.*, got 'oracle'"):
        open_predictor(FakePackage(kind="oracle"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda p: p.files.update({MODEL: b"not a graph"}),
            "expected an ONNX model, got bytes that are none",
        ),
        (lambda p: p.files.update({TOKENIZER: b"{}"}), "no text classifier"),
        (lambda p: p.files.update({VOCABULARY: b"[]"}), "no text classifier"),
        (lambda p: p.files.update({VOCABULARY: b"\xff"}), "no text classifier"),
        (lambda p: p.files.update({VOCABULARY: vocabulary_bytes([1.0])}), "one idf for each of 2 names"),
        (lambda p: p.files.pop(MODEL), "no text classifier"),
        (lambda p: p.files.update({MODEL: graph_bytes(labels=3)}), "expected 2 labels, the model has 3"),
    ],
    ids=["graph", "tokenizer", "vocabulary", "encoding", "lengths", "missing", "labels"],
)
def test_parts_that_do_not_fit_are_refused_when_opened(
    change: Callable[[FakePackage], object], says: str
) -> None:
    """As `PackageInvalid`, before any request is served."""
    package = FakePackage()
    change(package)
    with pytest.raises(PackageInvalid, match=says):
        open_predictor(package)


def test_every_byte_comes_through_the_package() -> None:
    """And each file once: what was verified is what is loaded."""
    package = FakePackage()
    open_predictor(package)
    assert sorted(package.asked) == sorted(package.files)


def test_serving_imports_no_training_library() -> None:
    """Seen from a fresh process that opens nothing but the runtime."""
    banned = {"sklearn", "scipy", "pandas", "wordllama", "joblib", "onnx", "mlflow", "torch", "flows"}
    code = "import sys, registry.runtimes.text_classifier; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not banned & set(done.stdout.split())


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ("  My\tcard \n is   lost ", "My card is lost"),
        ("pay <CARD_12> and<CARD_1>", "pay and"),
        ("<US_SSN_3> is <IPV4_2> mine", "is mine"),
        ("1 < 2 > 0 <card_1> <CARD>", "1 < 2 > 0 <card_1> <CARD>"),
        ("ﬁne １２", "fine 12"),
        ("a" * 5000, "a" * 2000),
    ],
)
def test_texts_are_cleaned_alike_in_training_and_serving(raw: str, read: str) -> None:
    """One function for both: spaces, placeholders, compatible characters, length."""
    assert clean(raw) == read


def test_weights_are_those_of_the_textbook() -> None:
    """(1 + ln count) x idf, at length 1; what training did not see has no weight."""
    block = Block({"a": 0, "b": 1}, np.array([2.0, 3.0]), offset=10)
    columns, weights = block.weigh(["a", "b", "a", "unseen"])
    expected = np.array([(1 + np.log(2)) * 2.0, 3.0])
    assert columns.tolist() == [10, 11]
    assert weights == pytest.approx(expected / np.linalg.norm(expected))
    assert [len(part) for part in block.weigh(["unseen"])] == [0, 0]


def test_features_are_never_empty() -> None:
    """The graph gathers rows, so a text of nothing is a known column with weight 0."""
    nothing: Mapping[str, int] = {}
    empty = Block(nothing, np.zeros(0), 0)
    seen = Featuriser(TextTokenizer(tokenizer_bytes()), empty, empty)("")
    assert (seen.tokens.tolist(), seen.columns.tolist(), seen.weights.tolist()) == ([0], [0], [0.0])


def test_an_undecided_model_says_so() -> None:
    """NaN in the model's numbers is NaN in the confidence, which no acceptance rule lets through."""
    table = graph_bytes().replace(np.float32(2.0).tobytes(), np.float32("nan").tobytes())
    package = FakePackage()
    featuriser = Featuriser(
        TextTokenizer(tokenizer_bytes()), Block({}, np.zeros(0), 0), Block({}, np.zeros(0), 2)
    )
    found = TextPredictor(LABELS, ("text",), featuriser, open_session(table, MODEL)).predict({"text": "good"})
    assert not package.manifest.acceptance.accepts(found)


def test_a_learned_deferral_and_the_form_that_names_it_go_together() -> None:
    """A reader that knows form 1 only would hold the model's own confidence against another threshold."""
    package = FakePackage()
    package.files |= {RULE: b"{}", ROWS: b""}
    with pytest.raises(PackageInvalid, match="expected format_version 2"):
        open_predictor(package)
