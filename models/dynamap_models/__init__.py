"""Networks: the intermediate representation, ONNX in and out, and the model zoo. Knows no hardware and no solver."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import ModelError, UnsupportedOperatorError
from .ir import Layer, Network, Parameter, Tensor

if TYPE_CHECKING:
    from .onnx_export import export_onnx as export_onnx
    from .onnx_export import write_onnx as write_onnx
    from .onnx_import import import_onnx as import_onnx
    from .onnx_import import onnx_tensor_shapes as onnx_tensor_shapes
    from .quantisation import import_quantised_onnx as import_quantised_onnx
    from .quantisation import quantise as quantise
    from .quantisation import random_inputs as random_inputs
    from .quantisation import write_quantised_onnx as write_quantised_onnx
    from .quantised import LayerWeights as LayerWeights
    from .quantised import QuantisedNetwork as QuantisedNetwork
    from .quantised import TensorQuantisation as TensorQuantisation
    from .zoo import ZOO as ZOO
    from .zoo import NetworkBuilder as NetworkBuilder
    from .zoo import build_model as build_model
    from .zoo import model_names as model_names

# Loaded when first used: whoever maps a zoo network does not need ONNX.
_LAZY = {
    "LayerWeights": ".quantised",
    "NetworkBuilder": ".zoo",
    "QuantisedNetwork": ".quantised",
    "TensorQuantisation": ".quantised",
    "ZOO": ".zoo",
    "build_model": ".zoo",
    "export_onnx": ".onnx_export",
    "import_onnx": ".onnx_import",
    "import_quantised_onnx": ".quantisation",
    "model_names": ".zoo",
    "onnx_tensor_shapes": ".onnx_import",
    "quantise": ".quantisation",
    "random_inputs": ".quantisation",
    "write_onnx": ".onnx_export",
    "write_quantised_onnx": ".quantisation",
}

__all__ = [
    "ZOO",
    "Layer",
    "LayerWeights",
    "ModelError",
    "Network",
    "NetworkBuilder",
    "Parameter",
    "QuantisedNetwork",
    "Tensor",
    "TensorQuantisation",
    "UnsupportedOperatorError",
    "build_model",
    "export_onnx",
    "import_onnx",
    "import_quantised_onnx",
    "model_names",
    "onnx_tensor_shapes",
    "quantise",
    "random_inputs",
    "write_onnx",
    "write_quantised_onnx",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)
