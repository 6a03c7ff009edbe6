"""Is this ONNX model all there is? No data in other files, no operators of unknown make.

onnxruntime follows external data to files of the working directory even when it is given bytes, and those
nobody signed. The few fields that matter are read off the wire format (onnx.proto, ONNX IR 10), so that
serving needs no training library.
"""

from collections.abc import Callable, Iterator

from registry.errors import PackageInvalid
from registry.packages import VerifiedPackage

OPERATORS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Operator sets of the standard. Every other domain is somebody's own code."""

SUFFIX = ".onnx"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_KEY = 2**32 - 1


def check_onnx(model: bytes, shown: str) -> None:
    """Raises `PackageInvalid` for external data, custom operators, functions, or what is no ONNX model."""
    try:
        graphs = 0
        for number, value in _fields(memoryview(model)):
            if number == 7:
                graphs += 1
                _graph(value)
            elif number == 8:
                _domain(value, 1)
            elif number in (20, 25):
                raise _Unfit("functions and training graphs left out", "one inside")
        if graphs != 1:
            raise _Unfit("an ONNX model with one graph", f"{graphs}")
    except _Unfit as unfit:
        expected, got = unfit.args
        raise PackageInvalid(f"{shown}: expected {expected}, got {got}; export it again") from None
    except (IndexError, RecursionError, UnicodeDecodeError) as error:
        raise PackageInvalid(f"{shown}: expected an ONNX model, got bytes that are none") from error


def check_graphs(package: VerifiedPackage) -> None:
    """The same for every graph of a package, whatever its runtime reads. Raises `PackageInvalid`."""
    for name in package.files:
        if name.endswith(SUFFIX):
            check_onnx(package.read(name), f"package '{package.manifest.name}': {name}")


class _Unfit(Exception):
    """Expected and got."""


def _graph(graph: memoryview) -> None:
    _each(graph, {1: _node, 5: _tensor, 15: _sparse})


def _node(node: memoryview) -> None:
    _domain(node, 7)
    _each(node, {5: _attribute})


def _attribute(attribute: memoryview) -> None:
    _each(attribute, {5: _tensor, 6: _graph, 10: _tensor, 11: _graph, 22: _sparse, 23: _sparse})


def _sparse(sparse: memoryview) -> None:
    _each(sparse, {1: _tensor, 2: _tensor})


def _tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == 13 or (number == 14 and bytes(value) != b"\x00"):
            raise _Unfit("all tensors inside the file", "one whose data lies outside it")


def _domain(message: memoryview, field: int) -> None:
    for number, value in _fields(message):
        if number == field and bytes(value).decode() not in OPERATORS:
            raise _Unfit("operators of the ONNX standard", "operators of another domain")


def _each(message: memoryview, readers: dict[int, Callable[[memoryview], None]]) -> None:
    for number, value in _fields(message):
        if reader := readers.get(number):
            reader(value)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(field number, its bytes) of a protobuf message; a number's are its varint as it stands."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key > _MAX_KEY:  # protobuf drops what is above, and so reads another field's number
            raise _Unfit("an ONNX model", "bytes that are none")
        start, wire = at, key & 7
        if wire == _BYTES:
            size, start = _varint(data, at)
            at = start + size
        elif wire == _VARINT:
            _, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise _Unfit("an ONNX model", "bytes that are none")
        if at > len(data):
            raise _Unfit("a whole ONNX model", "one that was cut off")
        yield key >> 3, data[start:at]


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise _Unfit("an ONNX model", "bytes that are none")
