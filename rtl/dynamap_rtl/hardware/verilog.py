"""Hierarchical Verilog-2001: one module of Verilog for every module of a hierarchy.

Ports keep their names, with ``_`` behind those that Verilog reserves (``port_names``); lane i of a port stands at
``[i*width +: width]``. A module that holds state, or contains one that does, has a port ``clock`` before all others.
Grids are generate loops, designs instances. There is no reset net: registers are declared with their initial values,
which FPGA configuration loads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .module import Constant, Design, Grid, HardwareError, Leaf, Module, Port, Source
from .verilog_leaf import leaf_body
from .verilog_text import CLOCK, Names, check_name, literal, port_names, range_of, statement

__all__ = ["port_names", "verilog_of", "verilog_text"]


def verilog_of(top: Module) -> dict[str, str]:
    """The files of a hierarchy, ``<module>.v`` -> text, what a module is made of before the module.

    The text depends on the hardware alone: the same parameters give the same bytes in every process.

    Raises:
        HardwareError: when two different modules share a name, or a name is no Verilog
            identifier.
    """
    clocked: dict[str, bool] = {}
    files: dict[str, str] = {}
    for module in _parts_first(top):
        check_name(module)
        body = _body(module, clocked)
        lines = [*_head(module, clocked=clocked[module.name]), *body, "", "endmodule", "", "`default_nettype wire", ""]
        text = "\n".join(lines)
        # Units that make their parts anew each time may well make the same part twice.
        if files.setdefault(f"{module.name}.v", text) != text:
            raise HardwareError(f"two modules are named {module.name!r} and differ; put what differs into the name")
    return files


def verilog_text(top: Module) -> str:
    """All modules of a hierarchy in one text, the top module last."""
    return "\n".join(verilog_of(top).values())


def _parts_first(top: Module) -> Iterator[Module]:
    """Every module object of a hierarchy once, what it is made of before it."""
    seen: set[int] = set()

    def walk(module: Module) -> Iterator[Module]:
        if id(module) in seen:
            return
        seen.add(id(module))
        if isinstance(module, Grid):
            yield from walk(module.cell)
        elif isinstance(module, Design):
            for instance in module.instances.values():
                yield from walk(instance.module)
        yield module

    return walk(top)


def _body(module: Module, clocked: dict[str, bool]) -> list[str]:
    """The lines of a module; notes whether it needs the clock."""
    if isinstance(module, Leaf):
        leaf = leaf_body(module)
        clocked[module.name] = leaf.clocked
        return list(leaf.lines)
    if isinstance(module, Grid):
        clocked[module.name] = clocked[module.cell.name]
        return _grid(module, clocked=clocked[module.name])
    if isinstance(module, Design):
        clocked[module.name] = any(clocked[instance.module.name] for instance in module.instances.values())
        return _design(module, clocked)
    raise HardwareError(f"module {module.name!r} is of no kind that can be written as Verilog")


def _head(module: Module, *, clocked: bool) -> list[str]:
    names = port_names(module)
    ports = [("input", names[name], port) for name, port in module.inputs.items()]
    ports += [("output", names[name], port) for name, port in module.outputs.items()]
    if clocked:
        ports.insert(0, ("input", CLOCK, Port(1)))
    lines = []
    for number, (direction, name, port) in enumerate(ports, start=1):
        lanes = f"  // {port.lanes} lanes of {port.width} bits" if port.lanes > 1 else ""
        comma = "," if number < len(ports) else ""
        lines.append(f"    {direction + ' wire':<11} {range_of(port.bits)}{name}{comma}{lanes}")
    return ["`default_nettype none", "", f"module {module.name} (", *lines, ");", ""]


def _instance(module: Module, name: str, wires: Mapping[str, str], *, clocked: bool, indent: int) -> list[str]:
    connections = ([(CLOCK, CLOCK)] if clocked else []) + [
        (name, wires.get(port, "")) for port, name in port_names(module).items()
    ]
    space = " " * indent
    lines = [
        line
        for number, (port, wire) in enumerate(connections, start=1)
        for line in statement(f".{port}({wire})" + ("," if number < len(connections) else ""), indent + 4)
    ]
    return [f"{space}{module.name} {name} (", *lines, f"{space});"]


def _design(design: Design, clocked: Mapping[str, bool]) -> list[str]:
    ports = port_names(design)
    names = Names([design.name, *ports.values()])
    used = [source for instance in design.instances.values() for source in instance.connections.values()]
    needed = {
        (source.instance.name, source.name)
        for source in (*used, *design.results.values())
        if not isinstance(source, Constant) and source.instance is not None
    }
    instances = {name: names.give(name) for name in design.instances}
    wires = {
        (name, port): names.give(f"{name}_{port}")
        for name, instance in design.instances.items()
        for port in instance.module.outputs
        if (name, port) in needed
    }

    def source_text(source: Source) -> str:
        if isinstance(source, Constant):
            return literal(source.value, source.port.bits)
        return ports[source.name] if source.instance is None else wires[source.instance.name, source.name]

    lines = [
        f"    wire {range_of(design.instances[name].module.outputs[port].bits)}{wire};"
        for (name, port), wire in wires.items()
    ]
    for name, instance in design.instances.items():
        connected = {port: source_text(source) for port, source in instance.connections.items()}
        connected |= {port: wires[name, port] for port in instance.module.outputs if (name, port) in wires}
        module = instance.module
        lines += ["", *_instance(module, instances[name], connected, clocked=clocked[module.name], indent=4)]
    lines.append("")
    for name, source in design.results.items():
        lines += statement(f"assign {ports[name]} = {source_text(source)};", 4)
    return lines[1:] if lines[0] == "" else lines


def _grid(grid: Grid, *, clocked: bool) -> list[str]:
    cell, links, ports = grid.cell, {**grid.south, **grid.east}, port_names(grid)
    names = Names([grid.name, *ports.values()])
    rows, columns, row, column, here = (names.give(n) for n in ("ROWS", "COLUMNS", "row", "column", "HERE"))
    row_block, column_block, label = (names.give(n) for n in ("rows", "columns", "unit"))
    buses = {port: names.give(f"{port}_cells") for port in (*links, *dict.fromkeys(links.values()))}
    cells = grid.rows * grid.columns
    bits = {ports[port]: kind.bits for port, kind in (*grid.inputs.items(), *grid.outputs.items())}
    bits |= {bus: cells * (cell.inputs.get(port) or cell.outputs[port]).width for port, bus in buses.items()}

    def lane(bus: str, index: str, width: int) -> str:
        if bits[bus] == 1:
            return bus  # of one bit, and no lane of it can be named
        if width == 1:
            return f"{bus}[{index}]"
        return f"{bus}[{index if index.isidentifier() else f'({index})'}*{width} +: {width}]"

    lines = [f"    localparam {rows} = {grid.rows};", f"    localparam {columns} = {grid.columns};", ""]
    if buses:
        lines.append(f"    // The linked ports of all cells; the cell in row r and column c is lane r*{columns} + c.")
        lines += [*(f"    wire {range_of(bits[bus])}{bus};" for bus in buses.values()), ""]
    lines += [
        f"    genvar {row}, {column};",
        "    generate",
        f"        for ({row} = 0; {row} < {rows}; {row} = {row} + 1) begin : {row_block}",
        f"            for ({column} = 0; {column} < {columns}; {column} = {column} + 1) begin : {column_block}",
        f"                localparam {here} = {row}*{columns} + {column};",
    ]
    connected = {}
    for port, kind in cell.inputs.items():
        width = kind.width
        if port in grid.shared:
            connected[port] = ports[port]
        elif port in links:
            if port in grid.east:
                side, edge, neighbour, outside = "west", column, f"{here} - 1", row
            else:
                side, edge, neighbour, outside = "north", row, f"{here} - {columns}", column
            target, source = lane(buses[port], here, width), lane(buses[links[port]], neighbour, width)
            lines += [
                f"                if ({edge} == 0) begin : {names.give(f'{port}_from_{side}_edge')}",
                f"                    assign {target} = {lane(ports[port], outside, width)};",
                f"                end else begin : {names.give(f'{port}_from_{side}')}",
                f"                    assign {target} = {source};",
                "                end",
            ]
            connected[port] = lane(buses[port], here, width)
        else:
            connected[port] = lane(ports[port], here, width)
    exits = []
    for port, kind in cell.outputs.items():
        width = kind.width
        connected[port] = lane(buses.get(port, ports[port]), here, width)
        if port in grid.east.values():
            side, edge, last, outside = "east", column, columns, row
        elif port in grid.south.values():
            side, edge, last, outside = "south", row, rows, column
        else:
            continue
        exits += [
            f"                if ({edge} == {last} - 1) begin : {names.give(f'{port}_to_{side}_edge')}",
            f"                    assign {lane(ports[port], outside, width)} = {lane(buses[port], here, width)};",
            "                end",
        ]
    lines += _instance(cell, label, connected, clocked=clocked, indent=16)
    return [*lines, *exits, "            end", "        end", "    endgenerate"]
