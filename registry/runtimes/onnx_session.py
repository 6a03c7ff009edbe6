"""The one place where an ONNX model is opened: looked at first, then run on one thread."""

import onnxruntime

from registry.onnx_guard import check_onnx


def open_session(model: bytes, shown: str) -> onnxruntime.InferenceSession:
    """A session of these bytes; serving has a worker for each core, so one thread is enough.

    Raises `PackageInvalid` for data outside the file or operators of somebody's own, before onnxruntime,
    which would follow either, sees them; `shown` names the model there. What onnxruntime raises is left so.
    """
    check_onnx(model, shown)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
