"""ONNX Runtime, loaded when first used: what calibrates quantised networks and says what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

__all__ = ["session"]


def session(model: onnx.ModelProto) -> Any:
    """An inference session of the model on the CPU, with graph optimisations disabled.

    Every operator then computes as it is written, none replaced by another that rounds differently.
    """
    import onnxruntime  # noqa: PLC0415 (slow to load, and needed by quantisation only)

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3  # unused initialisers and the like are nobody's concern; errors are raised
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
