"""Constant tensors that are read or computed only when somebody asks for their values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from dynamap_models.errors import ModelError
from dynamap_models.ir import Parameter

from .source import text_of

__all__ = [
    "ELEMENT_TYPES",
    "FLOAT_TYPES",
    "SMALL",
    "Array",
    "Constant",
    "Shape",
    "check_shape",
    "elem_type_name",
    "read_tensor",
]

Array = NDArray[Any]
Shape = tuple[int, ...]

# No tensor of a network that fits any board comes near this; beyond it a file is wrong or hostile.
_LARGEST_ELEMENTS = 2**40
# Constants up to this many elements are computed at once; larger ones are weights and wait until they are needed.
SMALL = 4096
# What reading a file may compute with at all: its cost is this times the length of the expression, about a second.
_LARGEST_QUICK = 2**20
# An expression over large constants is evaluated afresh on every load, so its length is bounded.
_LARGEST_EXPRESSION = 1000

FLOAT_TYPES = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})

# Where a TensorProto keeps its elements when not in raw_data, and for types of a whole number of bytes, how many.
_FIELDS: Mapping[int, tuple[str, int]] = {
    TensorProto.FLOAT: ("float_data", 4),
    TensorProto.DOUBLE: ("double_data", 8),
    TensorProto.INT64: ("int64_data", 8),
    TensorProto.UINT32: ("uint64_data", 4),
    TensorProto.UINT64: ("uint64_data", 8),
    TensorProto.INT32: ("int32_data", 4),
    TensorProto.INT16: ("int32_data", 2),
    TensorProto.UINT16: ("int32_data", 2),
    TensorProto.INT8: ("int32_data", 1),
    TensorProto.UINT8: ("int32_data", 1),
    TensorProto.BOOL: ("int32_data", 1),
    TensorProto.FLOAT16: ("int32_data", 2),
    TensorProto.BFLOAT16: ("int32_data", 2),
}
ELEMENT_TYPES = frozenset(_FIELDS)


def elem_type_name(elem_type: int) -> str:
    """The ONNX name of an element type, for messages."""
    try:
        return str(TensorProto.DataType.Name(elem_type))
    except ValueError:
        return f"type {elem_type}"


def check_shape(shape: Shape, what: str, *, allow_empty: bool = False) -> None:
    """Refuse extents that are negative or zero and tensors too large to mean anything.

    Raises:
        ModelError: naming ``what``.
    """
    if any(extent < 0 for extent in shape):
        raise ModelError(f"{what} has shape {shape}: a dimension must not be negative")
    if not allow_empty and 0 in shape:
        raise ModelError(f"{what} has shape {shape}: it is zero-sized, which no layer can compute with")
    # Extents are bounded one by one as well, because a zero elsewhere would hide them in the product.
    if math.prod(shape) > _LARGEST_ELEMENTS or any(extent > _LARGEST_ELEMENTS for extent in shape):
        raise ModelError(f"{what} has shape {shape}: more than 2^40 elements, which is too large to be meant")


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor known before the network runs.

    Attributes:
        name: its name in the file, or what it was derived for.
        shape: its extents; may contain zeros (an absent ``roi``, the shape of a scalar).
        elem_type: ONNX element type.
        load: makes the values, anew on each call; every weight of a large network at once would not fit in memory.
        work: operations one ``load`` runs, to bound hostile expressions.
        inner: elements of the largest tensor it is computed from.
    """

    name: str
    shape: Shape
    elem_type: int
    load: Callable[[], Array] = field(repr=False)
    work: int = 1
    inner: int = 0

    def __post_init__(self) -> None:
        check_shape(self.shape, f"constant {self.name!r}", allow_empty=True)
        if self.work > _LARGEST_EXPRESSION:
            raise ModelError(
                f"constant {self.name!r} is an expression of more than {_LARGEST_EXPRESSION} steps over large tensors; "
                "fold the constants before exporting"
            )

    @classmethod
    def of(cls, name: str, array: Array, elem_type: int) -> Constant:
        """A constant whose values are already there."""
        return cls(name=name, shape=array.shape, elem_type=elem_type, load=lambda: array)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def largest(self) -> int:
        """Elements of the largest tensor one ``load`` has to do with."""
        return max(self.size, self.inner)

    @property
    def is_quick(self) -> bool:
        """Whether its values may be computed while a file is read."""
        return self.largest <= _LARGEST_QUICK

    @property
    def is_float(self) -> bool:
        """Whether its values are floating-point numbers."""
        return self.elem_type in FLOAT_TYPES

    def derived(self, name: str, shape: Shape, make: Callable[[Array], Array], *others: Constant) -> Constant:
        """A constant of the same type computed from this one (and ``others``, for the bound on work) by ``make``."""
        sources = (self, *others)
        load = self.load
        return Constant(
            name=name,
            shape=shape,
            elem_type=self.elem_type,
            load=lambda: make(load()),
            work=1 + sum(source.work for source in sources),
            inner=max(source.largest for source in sources),
        )

    def vector(self) -> NDArray[np.float64]:
        """The values as a flat vector of doubles, in which scales and shifts are combined before rounding once."""
        return np.asarray(self.load(), dtype=np.float64).reshape(-1)

    def parameter(self) -> Parameter:
        """The constant as the intermediate representation keeps it."""
        load, shape = self.load, self.shape

        def load_float32() -> NDArray[np.float32]:
            with np.errstate(all="ignore"):
                return np.asarray(load(), dtype=np.float32).reshape(shape)

        return Parameter(shape=shape, load=load_float32)


def read_tensor(tensor: TensorProto, *, name: str, folder: Path | None) -> Constant:
    """The constant a ``TensorProto`` stands for; its values stay in the proto or the external file until loaded.

    Raises:
        ModelError: when extents, type, stored length or external file are not what they must be.
    """
    what = f"tensor {name!r}"
    shape = tuple(int(extent) for extent in tensor.dims)
    check_shape(shape, what, allow_empty=True)
    elem_type = tensor.data_type
    if elem_type not in _FIELDS:
        raise ModelError(
            f"{what} holds {elem_type_name(elem_type)} elements, which are not supported; use float tensors"
        )
    if tensor.HasField("segment"):
        raise ModelError(f"{what} is stored in segments, which are not supported; store it in one piece")
    size = math.prod(shape)
    if tensor.data_location == TensorProto.EXTERNAL:
        return Constant(name=name, shape=shape, elem_type=elem_type, load=_external(tensor, shape, what, folder))
    data_field, width = _FIELDS[elem_type]
    if tensor.HasField("raw_data"):
        found, needed, unit = len(tensor.raw_data), size * width, "bytes"
    else:
        found, needed, unit = len(getattr(tensor, data_field)), size, "elements"
    if found != needed:
        raise ModelError(f"{what} of shape {shape} holds {found} {unit} instead of {needed}; the file is damaged")

    def load() -> Array:
        try:
            return np.asarray(numpy_helper.to_array(tensor))
        except (ValueError, TypeError, OverflowError) as error:
            raise ModelError(f"{what} cannot be read: {error}") from error

    return Constant(name=name, shape=shape, elem_type=elem_type, load=load)


def _external(tensor: TensorProto, shape: Shape, what: str, folder: Path | None) -> Callable[[], Array]:
    """A loader of external data, after checking that the file exists, lies in ``folder`` and is long enough."""
    if folder is None:
        raise ModelError(f"{what} keeps its data in another file; give the model as a path, so that it can be found")
    entries = {text_of(entry.key): text_of(entry.value) for entry in tensor.external_data}
    location = entries.get("location", "")
    path = _contained(folder, location, what)
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    needed = math.prod(shape) * dtype.itemsize
    offset = _integer(entries.get("offset", "0"), "offset", what)
    length = _integer(entries.get("length", str(needed)), "length", what)
    if length != needed:
        raise ModelError(f"{what} of shape {shape} declares {length} bytes of external data instead of {needed}")
    try:
        available = path.stat().st_size
    except OSError as error:
        raise ModelError(f"{what} keeps its data in {location!r}, which cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise ModelError(f"{what} keeps its data in {location!r}, which is not a file")
    if offset + length > available:
        raise ModelError(
            f"{what} needs bytes {offset} to {offset + length} of {location!r}, which ends at {available}; "
            "the external data file is truncated"
        )

    def load() -> Array:
        try:
            flat = np.fromfile(path, dtype=dtype.newbyteorder("<"), count=math.prod(shape), offset=offset)
            return flat.reshape(shape)
        except (OSError, ValueError) as error:
            raise ModelError(f"{what} keeps its data in {location!r}, which cannot be read: {error}") from error

    return load


def _contained(folder: Path, location: str, what: str) -> Path:
    """The external file, provided that it lies below ``folder`` even after links are followed."""
    try:
        inside = bool(location) and "\0" not in location and not Path(location).is_absolute()
        path = (folder / location).resolve() if inside else folder
        inside = inside and path.is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
        raise ModelError(f"{what} keeps its data in {location!r}, which cannot be read: {error}") from error
    if not inside:
        raise ModelError(
            f"{what} keeps its data in {location!r}, outside the model's folder; "
            "external data must lie beside the model, for safety"
        )
    if not path.exists():
        raise ModelError(f"{what} keeps its data in {location!r}, which is missing; put it beside the model")
    return path


def _integer(text: str, key: str, what: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise ModelError(f"{what} declares external data with {key} {text!r}; it must be a whole number of bytes")
    return value
