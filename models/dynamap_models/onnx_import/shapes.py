"""Shape inference: a registry of one function per operator, from a node's known inputs to its outputs' shapes.

Each function returns one shape per output the operator can have (the node may use fewer) and raises
:class:`~dynamap_models.errors.ModelError` when the inputs break the operator's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from dynamap_models.errors import UnsupportedOperatorError

from .constants import Shape
from .shapes_layout import LAYOUT
from .shapes_window import WINDOW
from .values import Site

__all__ = ["SHAPE_FUNCTIONS", "ShapeFunction", "aligned_shape", "broadcast", "infer_shapes"]

ShapeFunction = Callable[[Site], Sequence[Shape]]

# Operators whose output has the first input's shape.
_LIKE_FIRST = """
    Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast CastLike Ceil Celu Clip Cos Cosh CumSum
    Elu Erf Exp Floor Gelu GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf
    IsNaN LRN LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg Not Reciprocal Relu Round
    ScatterElements ScatterND Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh
    ThresholdedRelu Trilu
"""
_BROADCAST = """
    Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod
    Mul Or Pow Sub Sum Where Xor
"""
_QUANTISED = """
    ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul QuantizeLinear
"""


def broadcast(shapes: Iterable[Shape]) -> Shape | None:
    """The shape numpy and ONNX spread ``shapes`` to, or None when they do not go together.

    >>> broadcast([(1, 8, 4, 4), (8, 1, 1)])
    (1, 8, 4, 4)
    """
    result: list[int] = []
    for shape in shapes:
        aligned = (1,) * (len(result) - len(shape)) + shape
        result = [1] * (len(shape) - len(result)) + result
        for axis, extent in enumerate(aligned):
            if result[axis] == 1:
                result[axis] = extent
            elif extent not in (1, result[axis]):
                return None
    return tuple(result)


def aligned_shape(site: Site, index: int) -> Shape:
    """Shape of an operand of an arithmetic node, with the ``axis`` attribute of operator sets before 7 applied."""
    shape = site.shape(index)
    if index == 1 and site.node.opset < 7 and site.node.flag("broadcast", default=False):
        rank = len(site.shape(0))
        axis = site.axis(site.node.integer("axis", rank - len(shape)), rank, end=True)
        shape += (1,) * (rank - axis - len(shape))
    return shape


def _like_first(site: Site) -> Sequence[Shape]:
    return [site.shape(0)]


def _dropout(site: Site) -> Sequence[Shape]:
    return [site.shape(0), site.shape(0)]


def _batch_normalization(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    return [shape, *[shape[1:2]] * 4]


def _broadcast(site: Site) -> Sequence[Shape]:
    shapes = [aligned_shape(site, index) for index in range(len(site.inputs))]
    result = broadcast(shapes) if shapes else None
    if result is None:
        printed = " and ".join(str(shape) for shape in shapes)
        raise site.fail(f"combines shapes {printed}, which do not broadcast")
    return [result]


def _prelu(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    if broadcast([shape, site.shape(1)]) != shape:
        raise site.fail(f"has a slope of shape {site.shape(1)}, which does not broadcast to its input's {shape}")
    return [shape]


def _layer_normalization(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    axis = site.axis(site.node.integer("axis", -1), len(shape))
    statistics = shape[:axis] + (1,) * (len(shape) - axis)
    return [shape, statistics, statistics]


SHAPE_FUNCTIONS: Mapping[str, ShapeFunction] = {
    **dict.fromkeys(_LIKE_FIRST.split(), _like_first),
    **dict.fromkeys(_BROADCAST.split(), _broadcast),
    "BatchNormalization": _batch_normalization,
    "Dropout": _dropout,
    "PRelu": _prelu,
    "LayerNormalization": _layer_normalization,
    **WINDOW,
    **LAYOUT,
}


def infer_shapes(site: Site) -> tuple[Shape, ...]:
    """Shapes of the node's outputs, in order.

    Raises:
        ModelError: when the node breaks its operator's rules.
        UnsupportedOperatorError: when the operator has no shape function.
    """
    node = site.node
    if node.op_type in _QUANTISED.split():
        raise UnsupportedOperatorError(
            f"{node.label} is a quantised operator; read the file with import_quantised_onnx, or import the float "
            "model and quantise it here"
        )
    function = SHAPE_FUNCTIONS.get(node.op_type)
    if function is None:
        raise UnsupportedOperatorError(
            f"operator {node.op_type} ({node.label}) is not supported: not even its output's shape is known here"
        )
    shapes = tuple(function(site))
    if len(shapes) < len(node.outputs):
        raise site.fail(f"writes {len(node.outputs)} tensors, but its operator has {len(shapes)} outputs")
    return shapes
