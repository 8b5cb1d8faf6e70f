"""From inferred ONNX nodes to drafts of layers: the state of the translation and the operator of last resort."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from dynamap_models._names import unique
from dynamap_models.errors import ModelError
from dynamap_models.ir import HostOperator, Operation, Reshape

from .constants import Array, Constant, Shape, check_shape
from .drafts import Draft
from .values import Site, Value

__all__ = ["Lowering", "layer_name"]

# Constant inputs that set an operator up rather than weigh anything: they are printed, not kept as parameters.
_SETTINGS = frozenset({"Clip", "Pad", "Resize", "Upsample"})
_LONGEST_PRINTED = 64


class Lowering:
    """The layers drafted so far, and where each tensor of the file went.

    One-dimensional networks work on (1, C, L). Their layers compute on rows of pixels, (1, C, 1, L), so that every
    convolution and pool reads and writes images: the *image* of a tensor of rank 3. Reshapes between the two appear
    only where somebody needs the other form.

    Attributes:
        values: all that inference found out.
        producers: for every tensor, the node that writes it.
        drafts: layers in order.
        shapes: ONNX shapes of the tensors the drafts read and write.
    """

    def __init__(self, *, values: Mapping[str, Value], sites: Iterable[Site], inputs: Iterable[str]) -> None:
        self.values = values
        self.producers = {name: site for site in sites for name in site.node.outputs if name}
        self.drafts: list[Draft] = []
        self.shapes: dict[str, Shape] = {}
        self._plain: dict[str, str] = {}
        self._images: dict[str, str] = {}
        self._derived: dict[tuple[int, str], tuple[Constant, Constant]] = {}
        self._taken = set(values)
        for name in inputs:
            self._plain[name] = name
            self.shapes[name] = values[name].shape

    def fresh(self, base: str) -> str:
        """A tensor name nothing has yet."""
        name = unique(base, self._taken)
        self._taken.add(name)
        return name

    def producer(self, value: Value, op_type: str) -> Site | None:
        """The node that writes ``value``, if it is an ``op_type``."""
        site = self.producers.get(value.name)
        return site if site is not None and site.node.op_type == op_type else None

    def read(self, value: Value) -> str:
        """The tensor that holds ``value`` in its own shape."""
        if value.name not in self._plain:
            # A value is drafted before it is read, if not so then as an image.
            self.add(value.name, Reshape(), [self._images[value.name]], value.name, value.shape)
            self._plain[value.name] = value.name
        return self._plain[value.name]

    def read_any(self, value: Value) -> str:
        """A tensor that holds the elements of ``value`` in order, in whatever shape is there."""
        return self._plain.get(value.name) or self._images[value.name]

    def read_image(self, value: Value, site: Site) -> str:
        """The tensor that holds ``value`` as (1, C, H, W).

        Raises:
            ModelError: when it is no image of batch 1.
        """
        batch, rank = value.shape[:1], value.rank
        if batch != (1,) or rank not in (3, 4):
            raise ModelError(
                f"{site.label} reads {value.name!r} of shape {value.shape}; networks are mapped at batch 1, so it "
                "must be (1, channels, height, width)"
            )
        if rank == 4:
            return self.read(value)
        if value.name not in self._images:
            image = self.fresh(f"{value.name}/image")
            self.add(image, Reshape(), [self.read(value)], image, image_shape(value.shape))
            self._images[value.name] = image
        return self._images[value.name]

    def is_image(self, value: Value) -> bool:
        """Whether ``value`` exists as an image already, so that pointwise layers should stay with that form."""
        return value.name in self._images

    def alias(self, name: str, value: Value) -> None:
        """Let the tensor ``name`` of the file be the same as ``value``."""
        for form in (self._plain, self._images):
            if value.name in form:
                form[name] = form[value.name]

    def add(
        self,
        name: str,
        operation: Operation,
        inputs: list[str],
        output: str,
        shape: Shape,
        constants: Mapping[str, Constant | None] | None = None,
    ) -> None:
        """Append a layer that writes a tensor of ``shape``."""
        kept = {role: constant for role, constant in (constants or {}).items() if constant is not None}
        self.shapes[output] = shape
        self.drafts.append(Draft(name=name, operation=operation, inputs=inputs, output=output, constants=kept))

    def emit(
        self,
        site: Site,
        operation: Operation,
        inputs: list[str],
        constants: Mapping[str, Constant | None] | None = None,
    ) -> None:
        """Append the layer that writes the node's first output in its own shape."""
        output = self.values[site.node.outputs[0]]
        self.add(layer_name(site), operation, inputs, output.name, output.shape, constants)
        self._plain[output.name] = output.name

    def emit_image(
        self,
        site: Site,
        operation: Operation,
        inputs: list[str],
        constants: Mapping[str, Constant | None] | None = None,
    ) -> None:
        """Append the layer that writes the node's first output as an image."""
        output = self.values[site.node.outputs[0]]
        if output.rank == 4:
            self.emit(site, operation, inputs, constants)
            return
        image = self.fresh(f"{output.name}/image")
        self.add(layer_name(site), operation, inputs, image, image_shape(output.shape), constants)
        self._images[output.name] = image

    def derive(self, constant: Constant, key: str, name: str, shape: Shape, make: Callable[[Array], Array]) -> Constant:
        """A constant computed from another one; asked for again by the same ``key``, the same object."""
        found = self._derived.get((id(constant), key))
        if found is None:
            found = self._derived[id(constant), key] = (constant, constant.derived(name, shape, make))
        return found[1]

    def host(self, site: Site, needed: Iterable[str]) -> None:
        """Draft the node as an operator of the host, one layer per output somebody needs."""
        node = site.node
        wanted = frozenset(needed)
        attributes = host_attributes(site)
        inputs: list[str] = []
        constants: dict[str, Constant] = {}
        for index, value in enumerate(site.inputs):
            if value is None:
                continue
            constant = value.constant
            if constant is None:
                inputs.append(self.read(value))
            elif constant.is_float and node.op_type not in _SETTINGS:
                constants[f"input[{index}]"] = constant
            else:
                attributes[f"input[{index}]"] = _printed(constant)
        for index, name in enumerate(node.outputs):
            if name not in wanted or self.values[name].constant is not None:
                continue
            marked = attributes if index == 0 else {**attributes, "output": str(index)}
            operation = HostOperator(op_type=node.op_type, attributes=marked)
            self.add(
                layer_name(site) if index == 0 else f"{layer_name(site)}/{index}",
                operation,
                list(inputs),
                name,
                self.values[name].shape,
                constants,
            )
            self._plain[name] = name

    def constant_output(self, value: Value, constant: Constant) -> None:
        """Draft an output of the network that does not depend on its input."""
        check_shape(value.shape, f"output {value.name!r}")
        constants = {"value": constant} if constant.is_float else {}
        attributes = {} if constant.is_float else {"value": _printed(constant)}
        name = value.name if value.name not in self.shapes else self.fresh(value.name)
        self.add(name, HostOperator(op_type="Constant", attributes=attributes), [], name, value.shape, constants)
        self._plain[value.name] = name

    def settle_outputs(self, outputs: Iterable[str]) -> None:
        """Make every output of the file a tensor of that name, of the file's shape."""
        names = tuple(outputs)
        for name in names:
            value = self.values[name]
            if value.constant is not None:
                self.constant_output(value, value.constant)
            tensor = self.read(value)
            if tensor == name:
                continue
            # The output is another tensor by another name: that takes over the name, unless it has to keep its own.
            writer = next((draft for draft in self.drafts if draft.output == tensor), None)
            if writer is None or tensor in names:
                self.add(name, Reshape(), [tensor], name, value.shape)
            else:
                self.shapes[name] = self.shapes[tensor]
                writer.output = name
                for draft in self.drafts:
                    draft.inputs = [name if source == tensor else source for source in draft.inputs]
                for form in (self._plain, self._images):
                    form.update({key: name for key, held in form.items() if held == tensor})
            self._plain[name] = name


def image_shape(shape: Shape) -> Shape:
    """(1, C, L) as a row of pixels.

    >>> image_shape((1, 8, 100))
    (1, 8, 1, 100)
    """
    batch, channels, length = shape
    return (batch, channels, 1, length)


def layer_name(site: Site) -> str:
    """The node's name, or where it has none that of its first output."""
    return site.node.name or next(filter(None, site.node.outputs))


def host_attributes(site: Site) -> dict[str, str]:
    """The node's attributes in print, with the axis of a softmax stated whatever the operator set's default is."""
    attributes = site.node.describe()
    if site.node.op_type in {"Softmax", "LogSoftmax", "Hardmax"}:
        attributes.setdefault("axis", "1" if site.node.opset < 13 else "-1")
    return attributes


def _printed(constant: Constant) -> str:
    # A tensor without elements may still have 2^40 rows, each of which would become a list.
    if not 0 < constant.size <= _LONGEST_PRINTED or not constant.is_quick:
        return f"constant of shape {constant.shape}"
    return str(np.asarray(constant.load()).tolist())
