"""A model that reaches outside its file, or brings code of its own, is refused before it is opened."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from bench.plain_evidence import write_plain_evidence
from registry.errors import PackageInvalid
from registry.keys import SigningKeys, TrustedKey
from registry.onnx_guard import check_onnx
from registry.packages import PackageManifest
from registry.placing import place, placed_ref
from registry.records import Acceptance
from registry.runtimes import RUNTIMES, open_predictor
from registry.settings import RegistrySettings
from registry.signing import sign_package
from tests.registry.conftest import NAME, MakePackage
from tests.registry.sources import FolderSource


def outside() -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../etc/passwd"), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def model(*nodes: onnx.NodeProto, tensors: tuple[TensorProto, ...] = (), domain: str = "") -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y], list(tensors)
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, 17)])


def branch(node: onnx.NodeProto) -> onnx.NodeProto:
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    inner = helper.make_graph([node], "inner", [], [y])
    return helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)


def test_a_plain_model_passes_with_its_tensors_inside() -> None:
    weights = numpy_helper.from_array(np.ones(4, np.float32), "w")
    check_onnx(model(tensors=(weights,)).SerializeToString(), "model.onnx")
    check_onnx(model(branch(helper.make_node("Identity", ["x"], ["y"]))).SerializeToString(), "model.onnx")


def with_function() -> onnx.ModelProto:
    made = model()
    made.functions.add(name="mine", domain="")
    return made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (model(tensors=(outside(),)), "data lies outside"),
        (model(helper.make_node("Constant", [], ["y"], value=outside())), "data lies outside"),
        (model(branch(helper.make_node("Constant", [], ["y"], value=outside()))), "data lies outside"),
        (model(helper.make_node("Mine", ["x"], ["y"], domain="com.example")), "another domain"),
        (model(branch(helper.make_node("Mine", ["x"], ["y"], domain="com.example"))), "another domain"),
        (model(domain="com.microsoft"), "another domain"),
        (with_function(), "functions and training graphs"),
    ],
)
def test_data_elsewhere_and_code_of_others_are_refused(made: onnx.ModelProto, said: str) -> None:
    with pytest.raises(PackageInvalid, match=rf"^model.onnx: .*{said}"):
        check_onnx(made.SerializeToString(), "model.onnx")


@pytest.mark.parametrize("raw", [b"", b"\x80", b"not a model", b"\xff" * 40, bytes(1000)])
def test_what_is_no_model_is_refused(raw: bytes) -> None:
    with pytest.raises(PackageInvalid):
        check_onnx(raw, "model.onnx")


def field(number: int, content: bytes, more: bytes = b"") -> bytes:
    """A protobuf field of bytes; `more` is added to its key beyond the 32 bits that C++ reads of one."""
    key = bytes([number << 3 | 2])
    if more:
        key = bytes([key[0] | 0x80, 0x80, 0x80, 0x80]) + more
    return key + bytes([len(content) & 0x7F | 0x80, len(content) >> 7]) + content


def test_a_field_number_beyond_32_bits_which_onnxruntime_cuts_short_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(np.full(4, 41, np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    location = field(
        13, onnx.StringStringEntryProto(key="location", value="secret").SerializeToString(), b"\x10"
    )
    length = field(13, onnx.StringStringEntryProto(key="length", value="16").SerializeToString(), b"\x10")
    bare = TensorProto(name="w", dims=[4], data_type=TensorProto.FLOAT).SerializeToString()
    tensor = bare + location + length + b"\xf0\x80\x80\x80\x10\x01"  # data_location, likewise
    made = model(helper.make_node("Add", ["x", "w"], ["y"]))
    made.ir_version = 8
    graph = made.graph.SerializeToString() + field(5, tensor)
    made.ClearField("graph")
    raw = made.SerializeToString() + field(7, graph)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(raw, options)
    assert session.run(None, {"x": np.zeros(4, np.float32)})[0].tolist() == [41] * 4, "no attack any more"
    with pytest.raises(PackageInvalid, match="bytes that are none"):
        check_onnx(raw, "model.onnx")


def test_a_model_that_was_cut_off_anywhere_in_its_graph_is_refused() -> None:
    whole = model(tensors=(numpy_helper.from_array(np.ones(50, np.float32), "w"),))
    whole.ClearField("opset_import")
    raw = whole.SerializeToString()
    for size in range(len(raw) - 200, len(raw), 7):
        with pytest.raises(PackageInvalid):
            check_onnx(raw[:size], "model.onnx")


@dataclass
class OneGraph:
    """As much of a package as a runtime asks for before anything else."""

    manifest: PackageManifest
    graph: bytes

    def read(self, name: str) -> bytes:
        return self.graph if name == "model.onnx" else b"{}"


@pytest.mark.parametrize("kind", RUNTIMES)
@pytest.mark.parametrize(
    ("made", "said"),
    [
        (model(tensors=(outside(),)), "data lies outside"),
        (model(helper.make_node("Mine", ["x"], ["y"], domain="com.example")), "another domain"),
    ],
)
def test_every_kind_of_model_looks_at_its_graph_before_it_opens_it(
    kind: str, made: onnx.ModelProto, said: str
) -> None:
    """A kind that is added later is held to it by this test, too."""
    rule = Acceptance(threshold=0.5, max_error=0.1, confidence=0.9, method="none")
    manifest = PackageManifest(
        format_version=1, name="tiny", kind=kind, labels=("a", "b"), inputs=("x",), acceptance=rule,
        contract_version="1", files=("model.onnx",),
    )  # fmt: skip
    with pytest.raises(PackageInvalid, match=rf"^'tiny': model\.onnx: .*{said}"):
        open_predictor(OneGraph(manifest, made.SerializeToString()))


@pytest.mark.parametrize("made", [model(tensors=(outside(),)), model(domain="com.example")])
def test_a_signed_graph_that_reaches_elsewhere_is_not_placed_and_what_served_goes_on(
    made: onnx.ModelProto,
    make_package: MakePackage,
    keys: SigningKeys,
    trusted: tuple[TrustedKey, ...],
    settings: RegistrySettings,
) -> None:
    """Whoever signed it, and whatever its kind reads: a file beside the model is no less refused."""
    source = FolderSource(trusted)
    source.hold(NAME, make_package(), 1)
    serving = place(NAME, "champion", settings, source)
    folder = make_package(sign=False)
    (folder / "parts" / "second.onnx").write_bytes(made.SerializeToString())
    write_plain_evidence(folder)
    sign_package(folder, keys.private_key)
    source.hold(NAME, folder, 2)
    with pytest.raises(PackageInvalid, match=r"parts/second\.onnx: expected .*export it again"):
        place(NAME, "champion", settings, source)
    assert placed_ref(NAME, "champion", settings) == serving
    assert len(list((settings.models_dir / NAME).iterdir())) == 2
