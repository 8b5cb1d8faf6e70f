"""The graph of a quantised file as that of the float network behind it, and a record of what the integers meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper

from dynamap_models._names import unique
from dynamap_models.errors import ModelError, UnsupportedOperatorError
from dynamap_models.onnx_import.constants import Constant, elem_type_name
from dynamap_models.onnx_import.folding import fold
from dynamap_models.onnx_import.graph import Graph, Node
from dynamap_models.onnx_import.values import Site
from dynamap_models.quantised import stored_name

from .records import IntegerConstant, Records, scale_and_zero_point, tensor_quantisation

__all__ = ["CONTRIBUTED", "Dequantised", "dequantised"]

_INTEGERS = frozenset({TensorProto.INT8, TensorProto.UINT8})
# Integer operators with one map in, whose inputs are map, scale, zero point, output scale, output zero point.
_ONE_MAP = {
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearReduceMean": "ReduceMean",
    "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
}
_TWO_MAPS = {"QLinearAdd": "Add", "QLinearMul": "Mul"}
# Attributes that only the integer operators have.
_OWN_ATTRIBUTES = frozenset({"channels_last", "opset"})
CONTRIBUTED = frozenset({*_ONE_MAP, *_TWO_MAPS, "QLinearConcat", "QGemm", "QuantizeLinear", "DequantizeLinear"})
"""The operators of ``com.microsoft`` that quantised files may hold."""

_DYNAMIC = frozenset({"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger"})
# Operators that leave integers as they are.
_MOVING = """
    Concat DepthToSpace Expand Flatten Gather Identity MaxPool Reshape Slice SpaceToDepth Split Squeeze Tile Transpose
    Unsqueeze
"""
_CLAMPS = frozenset({"Clip", "Relu"})
# Inputs that must be there; scales of which the zero point may be left out.
_NEEDED: Mapping[str, tuple[int, ...]] = {
    "QuantizeLinear": (0, 1),
    "DequantizeLinear": (0, 1),
    "QLinearConv": (0, 1, 3, 4, 6),
    "QLinearMatMul": (0, 1, 3, 4, 6),
    "QGemm": (0, 1, 3, 4, 7),
    "QLinearConcat": (0, 2, 3),
    **dict.fromkeys(_ONE_MAP, (0, 1, 3)),
    **dict.fromkeys(_TWO_MAPS, (0, 1, 3, 4, 6)),
}
# What files call the integers of a tensor: ours, and those of ONNX Runtime.
_SUFFIXES = (stored_name(""), "_quantized")


class Dequantised:
    """A graph in translation.

    Attributes:
        nodes: of the float graph.
        constants: those of the file, and the float ones that stand for weights and biases.
        records: what the integers meant.
        kept: tensors that must stay tensors of the network.
    """

    def __init__(self, graph: Graph) -> None:
        self._file = graph
        self.nodes: list[Node] = []
        self.constants: dict[str, Constant] = dict(graph.constants)
        self.records = Records()
        self.kept: set[str] = set()
        self._taken = {name for node in graph.nodes for name in (*node.inputs, *node.outputs)}
        self._taken |= {*graph.constants, *graph.outputs, *(entry.name for entry in graph.inputs)}
        self._real_names: dict[str, set[str]] = {}
        for node in graph.nodes:
            if node.op_type == "DequantizeLinear" and node.inputs:
                self._real_names.setdefault(node.inputs[0], set()).update(node.outputs)
        # For every tensor of the file that is another's integers or its dequantised self, that other one.
        self._floats: dict[str, str] = {}
        self._integers = {entry.name for entry in graph.inputs if entry.elem_type in _INTEGERS}

    def graph(self) -> Graph:
        """The float graph, its outputs under their names in the file."""
        for name in self._file.outputs:
            if self.float_name(name) != name:
                self.nodes.append(Node("Identity", "", (self.float_name(name),), (name,), {}, opset=13, folder=None))
        inputs = tuple(
            replace(entry, elem_type=int(TensorProto.FLOAT)) if entry.elem_type in _INTEGERS else entry
            for entry in self._file.inputs
        )
        return Graph(nodes=tuple(self.nodes), inputs=inputs, outputs=self._file.outputs, constants=self.constants)

    # ---- names ----

    def float_name(self, name: str) -> str:
        """The tensor of the float graph behind a tensor of the file."""
        return self._floats.get(name, name)

    def is_map_of_integers(self, name: str) -> bool:
        """Whether a tensor of the file holds the integers of a map."""
        return name in self._integers

    def alias(self, name: str, tensor: str, *, integers: bool) -> None:
        """Let ``name`` of the file stand for ``tensor`` of the float graph."""
        self._floats[name] = tensor
        if integers:
            self._integers.add(name)

    def written(self, name: str) -> str:
        """A tensor of the float graph for the integers ``name`` that a node of the file writes."""
        tensor = name
        for suffix in _SUFFIXES:
            base = name.removesuffix(suffix)
            if base not in {name, ""} and (base not in self._taken or base in self._real_names.get(name, ())):
                tensor = base
                self._taken.add(base)
                break
        self.alias(name, tensor, integers=True)
        if name == stored_name(tensor):
            self.kept.add(tensor)  # in files of ours, what has this name is a tensor of the network
        return tensor

    def constant_name(self, wanted: str) -> str:
        """A name for a new constant."""
        name = unique(wanted, self._taken)
        self._taken.add(name)
        return name

    # ---- parts of nodes ----

    def constant(self, node: Node, index: int) -> Constant | None:
        """The constant that is input ``index`` of a node, None where it is left out.

        Raises:
            ModelError: when it is computed.
        """
        if index >= len(node.inputs) or not node.inputs[index]:
            return None
        found = self.constants.get(node.inputs[index])
        if found is None:
            raise ModelError(
                f"{node.label} takes input {index} from tensor {node.inputs[index]!r}, which is computed; scales, zero "
                "points and weights must be constants"
            )
        return found

    def read(self, node: Node, index: int, scale: int) -> str:
        """The float tensor behind the map that is input ``index``, whose scale is input ``scale``."""
        name = node.inputs[index]
        if name in self.constants:
            return self.integers(node, index, scale, axis=0)
        self._integers.add(name)
        tensor = self.float_name(name)
        stored = tensor_quantisation(self.constant(node, scale), self.constant(node, scale + 1), node.label)
        self.records.state(tensor, stored, node.label)
        return tensor

    def write(self, node: Node, scale: int) -> str:
        """The float tensor behind the node's result, whose scale is input ``scale``."""
        tensor = self.written(node.outputs[0])
        stored = tensor_quantisation(self.constant(node, scale), self.constant(node, scale + 1), node.label)
        self.records.state(tensor, stored, node.label)
        return tensor

    def integers(self, node: Node, index: int, scale: int, *, axis: int, name: str | None = None) -> str:
        """A float constant for the integers that are input ``index``, scaled along ``axis`` by input ``scale``."""
        values = self.constant(node, index)
        assert values is not None  # inputs that must be there are
        scales, points, _ = scale_and_zero_point(self.constant(node, scale), self.constant(node, scale + 1), node.label)
        return self.add_integers(node, values, scales, points, axis=axis, name=name)

    def add_integers(
        self,
        node: Node,
        values: Constant,
        scales: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
        points: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
        *,
        axis: int,
        name: str | None = None,
    ) -> str:
        """A float constant that stands for integer ones; its name."""
        if values.elem_type not in _INTEGERS and values.elem_type != TensorProto.INT32:
            raise ModelError(
                f"{node.label} takes weights from {values.name!r}, which holds {elem_type_name(values.elem_type)}; "
                "quantised weights must be 8-bit integers and biases 32-bit ones"
            )
        rank = len(values.shape)
        axis = axis + rank if axis < 0 else axis
        if scales.size > 1 and (not 0 <= axis < rank or values.shape[axis] != scales.size):
            raise ModelError(
                f"{node.label} has {scales.size} scales for {values.name!r} of shape {values.shape}, which do not fit"
            )
        named = name or self.constant_name(f"{values.name}/real")
        load = values.load
        record = IntegerConstant(
            name=named,
            load=lambda: np.asarray(load(), dtype=np.int64),
            scale=scales,
            zero_point=points,
            axis=axis,
            elem_type=values.elem_type,
        )
        self.records.constants[named] = record
        self.constants[named] = Constant(
            name=named,
            shape=values.shape,
            elem_type=int(TensorProto.FLOAT),
            load=record.real,
            inner=values.largest,
        )
        return named

    def emit(self, node: Node, op_type: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Append a float node with the attributes of a node of the file."""
        attributes = {key: value for key, value in node.attributes.items() if key not in _OWN_ATTRIBUTES}
        self.nodes.append(
            replace(node, op_type=op_type, inputs=tuple(inputs), outputs=tuple(outputs), attributes=attributes)
        )


def dequantised(graph: Graph, label: str) -> Dequantised:
    """Translate the graph of a quantised file; O(nodes).

    Raises:
        ModelError: when the file is not quantised, or its quantisation is no tensor's scale and zero point in 8 bits.
        UnsupportedOperatorError: for operators that compute with integers otherwise.
    """
    state = Dequantised(graph)
    for node in graph.live_nodes():
        _check_form(node)
        if node.op_type in _DYNAMIC:
            raise UnsupportedOperatorError(
                f"{node.label} quantises while the network runs; quantise the model statically, with calibration data"
            )
        if node.op_type == "Constant":
            folded = fold(Site(node, ()), (), ())
            if folded:
                state.constants[node.outputs[0]] = folded[0]
            continue
        _TRANSLATIONS.get(node.op_type, _float)(state, node)
    state.records.spread()
    if not state.records.tensors:
        raise ModelError(f"{label} holds no quantised operator; read it with import_onnx and quantise it here")
    _keep(state)
    return state


def _check_form(node: Node) -> None:
    """Refuse quantised operators that lack a result or one of the inputs they must have."""
    needed = _NEEDED.get(node.op_type, ())
    if needed and not node.outputs[0]:
        raise ModelError(f"{node.label} does not write its first output, which it must")
    for index in needed:
        if index >= len(node.inputs) or not node.inputs[index]:
            raise ModelError(f"{node.label} lacks input {index}, which it must have")
    if node.op_type == "QLinearConcat" and len(node.inputs) % 3 != 2:
        raise ModelError(f"{node.label} has {len(node.inputs)} inputs; two and three for every map are needed")


def _keep(state: Dequantised) -> None:
    """Quantised tensors stay, but for those that only a clamp reads: the layer before it can clamp in their stead."""
    readers: dict[str, list[Node]] = {}
    for node in state.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    for name in state.records.tensors:
        reading = readers.get(name, [])
        if len(reading) != 1 or reading[0].op_type not in _CLAMPS:
            state.kept.add(name)


# ---- one function an operator ----


def _quantize(state: Dequantised, node: Node) -> None:
    name, output = node.inputs[0], node.outputs[0]
    constant = state.constants.get(name)
    if constant is not None:
        # Weights that are stored as floats and quantised first: the constant is rounded here.
        state.constants[output] = _rounded(state, node, constant)
        return
    if state.is_map_of_integers(name):
        raise ModelError(f"{node.label} quantises {name!r}, which holds integers already")
    tensor = state.float_name(name)
    stored = tensor_quantisation(state.constant(node, 1), state.constant(node, 2), node.label)
    state.records.state(tensor, stored, node.label)
    state.alias(output, tensor, integers=True)


def _rounded(state: Dequantised, node: Node, constant: Constant) -> Constant:
    scales, points, elem_type = scale_and_zero_point(state.constant(node, 1), state.constant(node, 2), node.label)
    axis, load = node.integer("axis", 1), constant.load
    rank = len(constant.shape)
    limits = np.iinfo(helper.tensor_dtype_to_np_dtype(elem_type))
    shape = [1] * rank
    if scales.size > 1:
        if not -rank <= axis < rank or constant.shape[axis] != scales.size:
            raise ModelError(f"{node.label} has {scales.size} scales for a constant of shape {constant.shape}")
        shape[axis] = scales.size

    def integers() -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        real = np.asarray(load(), dtype=np.float32)
        steps = np.rint(real / scales.reshape(shape)).astype(np.float64) + points.reshape(shape)
        return np.asarray(np.clip(steps, limits.min, limits.max), dtype=np.int64)

    return Constant(
        name=node.outputs[0], shape=constant.shape, elem_type=elem_type, load=integers, inner=constant.largest
    )


def _dequantize(state: Dequantised, node: Node) -> None:
    name, output = node.inputs[0], node.outputs[0]
    if name in state.constants:
        state.integers(node, 0, 1, axis=node.integer("axis", 1), name=output)
        return
    tensor = state.read(node, 0, 1)
    state.alias(output, tensor, integers=False)


def _convolution(state: Dequantised, node: Node) -> None:
    source = state.read(node, 0, 1)
    weight = state.integers(node, 3, 4, axis=0)
    target = state.write(node, 6)
    inputs = [source, weight]
    bias = state.constant(node, 8)
    if bias is not None:
        inputs.append(_bias(state, node, bias, source, weight))
    state.emit(node, "Conv", inputs, [target])


def _bias(state: Dequantised, node: Node, bias: Constant, source: str, weight: str) -> str:
    """A bias of an integer operator, which counts in products of the scales of map and weight."""
    scales = np.float32(state.records.tensors[source].scale) * state.records.constants[weight].scale
    points = np.zeros(scales.size, np.int64)
    return state.add_integers(node, bias, np.asarray(scales, dtype=np.float32), points, axis=0)


def _matrix_product(state: Dequantised, node: Node) -> None:
    source = state.read(node, 0, 1)
    if node.inputs[3] not in state.constants:
        raise UnsupportedOperatorError(f"{node.label} multiplies two computed tensors; one must be a constant")
    weight = state.integers(node, 3, 4, axis=-1)
    state.emit(node, "MatMul", [source, weight], [state.write(node, 6)])


def _gemm(state: Dequantised, node: Node) -> None:
    source = state.read(node, 0, 1)
    weight = state.integers(node, 3, 4, axis=0 if node.flag("transB", default=False) else 1)
    target = state.write(node, 7)
    inputs = [source, weight]
    bias = state.constant(node, 6)
    if bias is not None:
        inputs.append(_bias(state, node, bias, source, weight))
    state.emit(node, "Gemm", inputs, [target])


def _one_map(state: Dequantised, node: Node) -> None:
    if node.flag("channels_last", default=False):
        raise UnsupportedOperatorError(f"{node.label} keeps channels last, which is not supported; use channels first")
    source = state.read(node, 0, 1)
    state.emit(node, _ONE_MAP[node.op_type], [source], [state.write(node, 3)])


def _two_maps(state: Dequantised, node: Node) -> None:
    sources = [state.read(node, 0, 1), state.read(node, 3, 4)]
    state.emit(node, _TWO_MAPS[node.op_type], sources, [state.write(node, 6)])


def _concat(state: Dequantised, node: Node) -> None:
    sources = [state.read(node, index, index + 1) for index in range(2, len(node.inputs), 3)]
    state.emit(node, "Concat", sources, [state.write(node, 0)])


def _float(state: Dequantised, node: Node) -> None:
    """An operator that is no quantised one: on real numbers, or one that leaves integers as they are."""
    if not any(state.is_map_of_integers(name) for name in node.inputs):
        state.emit(node, node.op_type, [state.float_name(name) for name in node.inputs], node.outputs)
        return
    maps = [name for name in node.inputs if state.is_map_of_integers(name)]
    sources = [state.float_name(name) for name in node.inputs]
    if node.op_type in _CLAMPS:
        sources = [sources[0], *_real_bounds(state, node, sources[0])]
    elif node.op_type not in _MOVING.split():
        raise UnsupportedOperatorError(
            f"{node.label} computes with the integers of {maps[0]!r}, which is not supported; quantise the model with "
            "onnxruntime.quantization or here"
        )
    written = [state.written(name) if name else "" for name in node.outputs]
    state.records.alike.extend((state.float_name(source), tensor) for source in maps for tensor in written if tensor)
    state.records.spread()
    state.emit(node, "Clip" if node.op_type in _CLAMPS else node.op_type, sources, written)


def _real_bounds(state: Dequantised, node: Node, tensor: str) -> list[str]:
    """Constants for the real numbers that the bounds of a clip of integers stand for; a ReLU's is the integer 0."""
    stored = state.records.tensors.get(tensor)
    if stored is None:
        raise ModelError(f"{node.label} clips integers of {tensor!r}, of which the file does not say what they mean")
    bounds: list[str] = []
    for index in (1, 2):
        if node.op_type == "Relu":
            bound: int | None = 0 if index == 1 else None
        else:
            constant = state.constant(node, index)
            bound = None if constant is None else int(np.asarray(constant.load()).reshape(-1)[0])
        if bound is None:
            bounds.append("")
            continue
        name = state.constant_name(f"{node.outputs[0]}/bound{index}")
        real = np.asarray(stored.dequantise(np.array(bound)), dtype=np.float32)
        state.constants[name] = Constant.of(name, real, int(TensorProto.FLOAT))
        bounds.append(name)
    return bounds


_TRANSLATIONS: Mapping[str, Callable[[Dequantised, Node], None]] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "QLinearConv": _convolution,
    "QLinearMatMul": _matrix_product,
    "QGemm": _gemm,
    "QLinearConcat": _concat,
    **dict.fromkeys(_ONE_MAP, _one_map),
    **dict.fromkeys(_TWO_MAPS, _two_maps),
}
