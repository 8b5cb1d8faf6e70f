"""A hierarchy written out as one PyRTL block, every wire named by its path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyrtl

from .module import Constant, Design, Grid, HardwareError, Leaf, Module

__all__ = ["CutGrid", "flatten", "flatten_around_grids"]


@dataclass(frozen=True)
class CutGrid:
    """A grid left out of a flat block: wires that drive it and wires it drives, by port name.

    Attributes:
        path: where it stands, as ``array.pes``.
        grid: the module.
        inputs: an ``Output`` of the block for every input of the grid, packed.
        outputs: an ``Input`` of the block for every output of the grid, packed.
    """

    path: str
    grid: Grid
    inputs: Mapping[str, pyrtl.Output]
    outputs: Mapping[str, pyrtl.Input]


def flatten(module: Module) -> pyrtl.Block:
    """Write a module out.

    Ports become an ``Input`` or ``Output`` of their name and all their bits; inside, wire ``w`` of instance ``i`` is
    ``i.w``, and of the cell in row r and column c of grid instance ``g`` it is ``g.r_c.w``. The size of the result
    grows with the number of cells: for small arrays, PyRTL's own simulators and passes.

    Raises:
        HardwareError: when a grid's links are not registers.
    """
    block, cuts = _flatten(module, cut=False)
    assert not cuts
    return block


def flatten_around_grids(module: Module) -> tuple[pyrtl.Block, tuple[CutGrid, ...]]:
    """Write out everything but the grids, which become boundaries of the block."""
    return _flatten(module, cut=True)


def _flatten(module: Module, *, cut: bool) -> tuple[pyrtl.Block, tuple[CutGrid, ...]]:
    block = pyrtl.Block()
    with pyrtl.set_working_block(block, no_sanity_check=True):
        placer = _Placer(cut=cut)
        inputs: dict[str, pyrtl.WireVector] = {n: pyrtl.Input(p.bits, n) for n, p in module.inputs.items()}
        outputs: dict[str, pyrtl.WireVector] = {n: pyrtl.Output(p.bits, n) for n, p in module.outputs.items()}
        placer.place(module, "", inputs, outputs)
    block.sanity_check()
    return block, tuple(placer.cuts)


Wires = Mapping[str, pyrtl.WireVector]


class _Placer:
    """Places modules in the working block."""

    def __init__(self, *, cut: bool) -> None:
        self.cut = cut
        self.cuts: list[CutGrid] = []

    def place(self, module: Module, path: str, inputs: Wires, outputs: Wires) -> None:
        if isinstance(module, Leaf):
            _copy(module.block, path, inputs, outputs)
        elif isinstance(module, Design):
            self._design(module, path, inputs, outputs)
        elif isinstance(module, Grid):
            if self.cut:
                self._cut(module, path, inputs, outputs)
            else:
                self._grid(module, path, inputs, outputs)
        else:
            raise HardwareError(f"module {module.name!r} is of no kind that can be written out")

    def _design(self, design: Design, path: str, inputs: Wires, outputs: Wires) -> None:
        made = {name: _wires(instance.module, path + name + ".") for name, instance in design.instances.items()}

        def source(of: object) -> pyrtl.WireVector:
            if isinstance(of, Constant):
                return pyrtl.Const(of.value, bitwidth=of.port.bits)
            instance, name = of.instance, of.name  # type: ignore[attr-defined]
            return inputs[name] if instance is None else made[instance.name][name]

        for name, instance in design.instances.items():
            driven = {port: source(of) for port, of in instance.connections.items()}
            self.place(instance.module, path + name + ".", driven, made[name])
        for name, of in design.results.items():
            _drive(outputs[name], source(of))

    def _grid(self, grid: Grid, path: str, inputs: Wires, outputs: Wires) -> None:
        _check_links(grid)
        cell = grid.cell
        made = {
            (row, column): _wires(cell, f"{path}{row}_{column}.")
            for row in range(grid.rows)
            for column in range(grid.columns)
        }
        lanes = {
            name: [wire[k * cell.inputs[name].width : (k + 1) * cell.inputs[name].width] for k in range(port.lanes)]
            for name, wire in inputs.items()
            for port in (grid.inputs[name],)
        }
        for (row, column), own in made.items():
            driven = {}
            for name in cell.inputs:
                if name in grid.shared:
                    driven[name] = lanes[name][0]
                elif name in grid.east:
                    driven[name] = made[row, column - 1][grid.east[name]] if column else lanes[name][row]
                elif name in grid.south:
                    driven[name] = made[row - 1, column][grid.south[name]] if row else lanes[name][column]
                else:
                    driven[name] = lanes[name][row * grid.columns + column]
            self.place(cell, f"{path}{row}_{column}.", driven, own)
        for name, wire in outputs.items():
            if name in grid.east.values():
                cells = [made[row, grid.columns - 1][name] for row in range(grid.rows)]
            elif name in grid.south.values():
                cells = [made[grid.rows - 1, column][name] for column in range(grid.columns)]
            else:
                cells = [own[name] for own in made.values()]
            _drive(wire, pyrtl.concat_list(cells))

    def _cut(self, grid: Grid, path: str, inputs: Wires, outputs: Wires) -> None:
        _check_links(grid)
        prefix = path or "grid."  # of a grid that is all there is, whose ports have the bare names
        into = {name: pyrtl.Output(port.bits, f"{prefix}{name}") for name, port in grid.inputs.items()}
        out_of = {name: pyrtl.Input(port.bits, f"{prefix}{name}_") for name, port in grid.outputs.items()}
        for name, wire in into.items():
            _drive(wire, inputs[name])
        for name, source in out_of.items():
            _drive(outputs[name], source)
        self.cuts.append(CutGrid(path.removesuffix("."), grid, into, out_of))


def _drive(wire: pyrtl.WireVector, source: pyrtl.WireVector) -> None:
    wire <<= source


def _wires(module: Module, path: str) -> dict[str, pyrtl.WireVector]:
    return {name: pyrtl.WireVector(port.bits, f"{path}{name}") for name, port in module.outputs.items()}


def _check_links(grid: Grid) -> None:
    """Linked outputs are registers: follow the plain wires back from them."""
    if not isinstance(grid.cell, Leaf):
        return
    drivers = {net.dests[0]: net for net in grid.cell.block.logic if net.dests}
    for name in {*grid.east.values(), *grid.south.values()}:
        net = drivers[grid.cell.block.wirevector_by_name[name]]
        while net.op == "w" and net.args[0] in drivers:
            net = drivers[net.args[0]]
        if net.op != "r":
            raise HardwareError(f"grid {grid.name!r}: output {name!r} of its cell must be a register to be linked")


def _copy(block: pyrtl.Block, path: str, inputs: Wires, outputs: Wires) -> None:
    """Copy the nets of a leaf into the working block, its ports replaced by the given wires."""
    target = pyrtl.working_block()
    wires: dict[pyrtl.WireVector, pyrtl.WireVector] = {}
    for wire in block.wirevector_set:
        if isinstance(wire, pyrtl.Input):
            wires[wire] = inputs[wire.name]
        elif isinstance(wire, pyrtl.Output):
            wires[wire] = outputs[wire.name]
        elif isinstance(wire, pyrtl.Const):
            wires[wire] = pyrtl.Const(wire.val, bitwidth=len(wire))
        elif isinstance(wire, pyrtl.Register):
            wires[wire] = pyrtl.Register(len(wire), path + wire.name, reset_value=wire.reset_value)
        else:
            wires[wire] = pyrtl.WireVector(len(wire), path + wire.name)
    memories: dict[pyrtl.MemBlock, pyrtl.MemBlock] = {}
    for net in block.logic:
        parameter = net.op_param
        if net.op in "m@":
            parameter = _memory(net.op_param[1], path, memories)
        target.add_net(
            pyrtl.LogicNet(
                net.op, parameter, tuple(wires[wire] for wire in net.args), tuple(wires[wire] for wire in net.dests)
            )
        )


def _memory(
    memory: pyrtl.MemBlock, path: str, memories: dict[pyrtl.MemBlock, pyrtl.MemBlock]
) -> tuple[int, pyrtl.MemBlock]:
    if memory not in memories:
        # Ports were counted when the leaf was made; PyRTL's own counters are of no use to a copy.
        if isinstance(memory, pyrtl.RomBlock):
            memories[memory] = pyrtl.RomBlock(
                memory.bitwidth,
                memory.addrwidth,
                memory.data,
                path + memory.name,
                max_read_ports=None,
                asynchronous=True,
                pad_with_zeros=memory.pad_with_zeros,
            )
        else:
            memories[memory] = pyrtl.MemBlock(
                memory.bitwidth,
                memory.addrwidth,
                path + memory.name,
                max_read_ports=None,
                max_write_ports=None,
                asynchronous=True,
            )
    copy = memories[memory]
    return (copy.id, copy)
