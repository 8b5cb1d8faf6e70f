"""Hardware with a hierarchy: leaves written in PyRTL, grids of one cell, designs of instances.

PyRTL describes logic, but knows no modules; a 92 x 66 array written out flat is half a million nets. Here the logic
of a *leaf* is a small PyRTL block of its own, a *grid* places one cell in rows and columns and wires neighbours, and
a *design* places instances and wires their ports. Everything that reads hardware walks this structure: ``flatten``
writes it out as one PyRTL block, ``verilog`` keeps it, ``simulator`` compiles a cell once and loops over the grid.

A signal is ``lanes`` values of ``width`` bits side by side, lane 0 in the lowest bits. There is one clock; a register
has its reset value when the device is configured, and no reset net: units are brought back to their start by their
own protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

import pyrtl

__all__ = ["Constant", "Design", "Grid", "HardwareError", "Instance", "Leaf", "Logic", "Module", "Port", "Signal"]


class HardwareError(ValueError):
    """A circuit that cannot be; the message names the module, the port and the rule."""


@dataclass(frozen=True)
class Port:
    """``lanes`` values of ``width`` bits, lane 0 in the lowest bits."""

    width: int
    lanes: int = 1

    def __post_init__(self) -> None:
        if self.width < 1 or self.lanes < 1:
            raise HardwareError(f"a port needs at least one bit and one lane, not {self.width} and {self.lanes}")

    @property
    def bits(self) -> int:
        """Bits of all lanes together."""
        return self.width * self.lanes


Ports: TypeAlias = Mapping[str, "Port | int"]
#: Builds the logic of a leaf in the working block: input wires by port name in, output values by port name out.
Logic: TypeAlias = Callable[[Mapping[str, pyrtl.WireVector]], Mapping[str, pyrtl.WireVector]]


def _ports(module: str, ports: Ports) -> Mapping[str, Port]:
    for name in ports:
        if not name.isidentifier():
            raise HardwareError(f"module {module!r}: port name {name!r} is not an identifier")
    return MappingProxyType({name: Port(port) if isinstance(port, int) else port for name, port in ports.items()})


class Module:
    """A name and ports. Modules of one name must be the same hardware: parameters belong in the name."""

    def __init__(self, name: str, inputs: Ports, outputs: Ports) -> None:
        if not name.isidentifier():
            raise HardwareError(f"module name {name!r} is not an identifier")
        self.name = name
        self.inputs = _ports(name, inputs)
        self.outputs = _ports(name, outputs)
        if shared := self.inputs.keys() & self.outputs.keys():
            raise HardwareError(f"module {name!r}: {sorted(shared)} name both an input and an output")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Leaf(Module):
    """A module whose logic is PyRTL.

    Args:
        name: unique for its hardware, parameters included.
        inputs: ports, a number standing for one lane of so many bits.
        outputs: likewise.
        logic: builds the circuit; called once, when ``block`` is first wanted. Registers and memories may be given
            names; they need only be unique within the leaf, and an output's own name is free for its register.
    """

    def __init__(self, name: str, *, inputs: Ports, outputs: Ports, logic: Logic) -> None:
        super().__init__(name, inputs, outputs)
        self._logic = logic

    @cached_property
    def block(self) -> pyrtl.Block:
        """The circuit, with an ``Input`` or ``Output`` for every port, checked by PyRTL.

        Raises:
            HardwareError: when the logic does not give exactly the outputs declared, at their widths.
        """
        block = pyrtl.Block()
        with pyrtl.set_working_block(block, no_sanity_check=True):
            wires = {name: pyrtl.Input(port.bits, name) for name, port in self.inputs.items()}
            results = self._logic(wires)
            if set(results) != set(self.outputs):
                raise HardwareError(
                    f"module {self.name!r}: its logic gives {sorted(results)}, its outputs are {sorted(self.outputs)}"
                )
            for wire in block.wirevector_set:
                if wire.name in self.outputs:  # a register of the port's own name: the port keeps it
                    wire.name += "_r"
            for name, port in self.outputs.items():
                value = results[name]
                if len(value) != port.bits:
                    raise HardwareError(
                        f"module {self.name!r}: {name} has {port.bits} bits, its logic gives {len(value)}"
                    )
                output = pyrtl.Output(port.bits, name)
                output <<= value
        block.sanity_check()
        return block


class Grid(Module):
    """``rows`` x ``columns`` copies of a cell, neighbours wired.

    A cell's input that ``east`` or ``south`` names comes from the neighbour to the west or north; at the edge it is
    an input of the grid with one lane a row, or a column. Inputs in ``shared`` are the same for all cells. Any other
    input has a lane for every cell, row by row. Outputs of the cell: one that feeds a neighbour leaves at the far
    edge with a lane a row (east) or column (south); any other has a lane for every cell. Linked outputs must be
    registers, so that no combinational path runs along the grid.

    Args:
        name: unique for its hardware.
        cell: with one-lane ports.
        rows: number of rows.
        columns: number of columns.
        east: input of a cell -> output of its western neighbour.
        south: input of a cell -> output of its northern neighbour.
        shared: inputs that all cells have in common.
    """

    def __init__(
        self,
        name: str,
        cell: Module,
        *,
        rows: int,
        columns: int,
        east: Mapping[str, str] = MappingProxyType({}),
        south: Mapping[str, str] = MappingProxyType({}),
        shared: Collection[str] = (),
    ) -> None:
        if rows < 1 or columns < 1:
            raise HardwareError(f"grid {name!r} needs at least one row and one column, not {rows} and {columns}")
        self.cell = cell
        self.rows = rows
        self.columns = columns
        self.east = MappingProxyType(dict(east))
        self.south = MappingProxyType(dict(south))
        self.shared = frozenset(shared)
        for port in (*cell.inputs.values(), *cell.outputs.values()):
            if port.lanes != 1:
                raise HardwareError(f"grid {name!r}: the ports of its cell must have one lane")
        for links in (east, south):
            for target, source in links.items():
                if target not in cell.inputs or source not in cell.outputs:
                    raise HardwareError(f"grid {name!r}: its cell has no link from {source!r} to {target!r}")
                if cell.inputs[target] != cell.outputs[source]:
                    raise HardwareError(f"grid {name!r}: {source!r} and {target!r} differ in width")
        super().__init__(
            name,
            {port: Port(kind.width, self._lanes(port, east, south)) for port, kind in cell.inputs.items()},
            {
                port: Port(kind.width, self._lanes(port, set(east.values()), set(south.values())))
                for port, kind in cell.outputs.items()
            },
        )

    def _lanes(self, port: str, east: Collection[str], south: Collection[str]) -> int:
        if port in self.shared:
            return 1
        if port in east:
            return self.rows
        return self.columns if port in south else self.rows * self.columns


@dataclass(frozen=True, eq=False)
class Signal:
    """An input of a design (``instance`` None) or an output of one of its instances."""

    instance: Instance | None
    name: str
    port: Port


@dataclass(frozen=True)
class Constant:
    """A value that never changes."""

    value: int
    port: Port


Source: TypeAlias = Signal | Constant


@dataclass(frozen=True, eq=False)
class Instance:
    """A module placed in a design; ``instance["port"]`` is the signal at an output."""

    name: str
    module: Module
    connections: dict[str, Source]

    def __getitem__(self, output: str) -> Signal:
        if output not in self.module.outputs:
            raise HardwareError(f"instance {self.name!r}: module {self.module.name!r} has no output {output!r}")
        return Signal(self, output, self.module.outputs[output])

    def connect(self, **sources: Source) -> None:
        """Drive inputs; every input must be driven once.

        A source of another shape but as many bits is taken as the packed bits it is.
        """
        for name, source in sources.items():
            where = f"input {name!r} of instance {self.name!r} ({self.module.name})"
            if name not in self.module.inputs:
                raise HardwareError(f"{where}: there is no such input")
            if name in self.connections:
                raise HardwareError(f"{where} is driven twice")
            if source.port.bits != self.module.inputs[name].bits:
                raise HardwareError(f"{where} has {self.module.inputs[name].bits} bits, its source {source.port.bits}")
            self.connections[name] = source


class Design(Module):
    """Instances of modules and the wires between them.

    Build it with ``add`` and ``connect``; ``finish`` names what drives the outputs and checks that nothing is left
    open.
    """

    def __init__(self, name: str, *, inputs: Ports, outputs: Ports) -> None:
        super().__init__(name, inputs, outputs)
        self.instances: dict[str, Instance] = {}
        self.results: dict[str, Source] = {}

    def __getitem__(self, name: str) -> Signal:
        if name not in self.inputs:
            raise HardwareError(f"design {self.name!r} has no input {name!r}")
        return Signal(None, name, self.inputs[name])

    def add(self, name: str, module: Module, **sources: Source) -> Instance:
        """Place a module; inputs may be connected now or later."""
        if name in self.instances or not name.isidentifier():
            raise HardwareError(f"design {self.name!r}: {name!r} is taken or not an identifier")
        instance = Instance(name, module, {})
        instance.connect(**sources)
        self.instances[name] = instance
        return instance

    def finish(self, **results: Source) -> Design:
        """Drive the outputs and check that every input of every instance is driven.

        Raises:
            HardwareError: naming the first port left open.
        """
        if set(results) != set(self.outputs):
            raise HardwareError(
                f"design {self.name!r}: its outputs are {sorted(self.outputs)}, given {sorted(results)}"
            )
        for name, source in results.items():
            if source.port.bits != self.outputs[name].bits:
                raise HardwareError(f"design {self.name!r}: output {name!r} has other width than its source")
        for instance in self.instances.values():
            for name in instance.module.inputs:
                if name not in instance.connections:
                    raise HardwareError(f"design {self.name!r}: input {name!r} of {instance.name!r} is open")
        self.results = results
        return self


def modules_of(top: Module) -> Iterator[Module]:
    """Every different module of a hierarchy once, what a module is made of before the module.

    Modules of one name are one module, however often they were made.

    Raises:
        HardwareError: when two modules of one name are not the same hardware.
    """
    seen: dict[str, Module] = {}

    def walk(module: Module) -> Iterator[Module]:
        if module.name in seen:
            if not _same(seen[module.name], module):
                raise HardwareError(f"two modules are named {module.name!r}; put what differs into the name")
            return
        seen[module.name] = module
        if isinstance(module, Grid):
            yield from walk(module.cell)
        elif isinstance(module, Design):
            for instance in module.instances.values():
                yield from walk(instance.module)
        yield module

    yield from walk(top)


def _same(left: Module, right: Module) -> bool:
    """Whether two modules of one name are the same hardware, as far as their own level tells.

    The nets of leaves are compared without their wires' names, which PyRTL numbers through.
    """
    if left is right:
        return True
    if type(left) is not type(right) or left.inputs != right.inputs or left.outputs != right.outputs:
        return False
    if isinstance(left, Leaf) and isinstance(right, Leaf):
        return _nets(left) == _nets(right)
    if isinstance(left, Grid) and isinstance(right, Grid):
        return (left.cell.name, left.rows, left.columns, left.east, left.south, left.shared) == (
            right.cell.name,
            right.rows,
            right.columns,
            right.east,
            right.south,
            right.shared,
        )
    assert isinstance(left, Design)
    assert isinstance(right, Design)
    return _wiring(left) == _wiring(right)


def _nets(leaf: Leaf) -> Counter[tuple[object, ...]]:
    def kind(wire: pyrtl.WireVector) -> tuple[object, ...]:
        value = wire.val if isinstance(wire, pyrtl.Const) else getattr(wire, "reset_value", None)
        return type(wire).__name__, len(wire), value

    def parameter(net: pyrtl.LogicNet) -> object:
        return (net.op_param[1].bitwidth, net.op_param[1].addrwidth) if net.op in "m@" else net.op_param

    return Counter((net.op, parameter(net), *map(kind, (*net.args, *net.dests))) for net in leaf.block.logic)


def _wiring(design: Design) -> tuple[object, ...]:
    def plain(source: Source) -> object:
        if isinstance(source, Constant):
            return source
        return source.instance and source.instance.name, source.name

    return (
        {
            name: (instance.module.name, {port: plain(source) for port, source in instance.connections.items()})
            for name, instance in design.instances.items()
        },
        {name: plain(source) for name, source in design.results.items()},
    )
