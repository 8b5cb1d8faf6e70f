"""Grids in Verilog: rows of cells, and columns of rows, as generate loops over packed buses.

A grid of several rows and columns is two modules: ``<grid>_row`` places the cells of a row, the grid its rows. So a
tool meets one row instead of thousands of cells, and buses of one row's width. A link between neighbours is a chain: a
bus of one lane more than there are cells, lane k going into cell k. A grid in which an output feeds several inputs has
no such chains; it is one module with a loop in a loop.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .module import Grid, Module
from .verilog_text import Names, instance_lines, port_names, range_of

__all__ = ["grid_lines", "row_of"]


def row_of(grid: Grid) -> Grid | None:
    """The row that a grid is written as a column of; None where it is written as one module."""
    if grid.rows == 1 or grid.columns == 1 or not _is_chained(grid):
        return None
    return Grid(f"{grid.name}_row", grid.cell, rows=1, columns=grid.columns, east=grid.east, shared=grid.shared)


def grid_lines(grid: Grid, *, clocked: bool) -> list[str]:
    """The lines between the ports and ``endmodule``."""
    if not _is_chained(grid):
        return _loop_in_loop(grid, clocked=clocked)
    row = row_of(grid)
    if row is not None or grid.columns == 1:
        part, links = row or grid.cell, grid.south
        return _line(grid, part, links, count=grid.rows, words=("ROWS", "row", "rows"), clocked=clocked)
    words = ("COLUMNS", "column", "columns")
    return _line(grid, grid.cell, grid.east, count=grid.columns, words=words, clocked=clocked)


def _is_chained(grid: Grid) -> bool:
    sources = [*grid.east.values(), *grid.south.values()]
    return len(set(sources)) == len(sources) and not grid.east.keys() & grid.south.keys()


def _line(
    grid: Grid, part: Module, links: Mapping[str, str], *, count: int, words: Collection[str], clocked: bool
) -> list[str]:
    """``count`` parts in a line; what is neither linked nor shared has a lane for each."""
    ports = port_names(grid)
    names = Names([grid.name, part.name, *ports.values()])
    total, index, block = (names.give(word) for word in words)
    label = names.give("unit")
    chains = {source: names.give(f"{source}_chain") for source in links.values()}

    def lane(bus: str, place: str, bits: int) -> str:
        return f"{bus}[{place}]" if bits == 1 else f"{bus}[{place}*{bits} +: {bits}]"

    before, after, connected = [], [], {}
    for target, source in links.items():
        chain, bits = chains[source], part.outputs[source].bits
        before += [
            f"    wire {range_of((count + 1) * bits)}{chain};  // {count + 1} lanes of {bits} bits",
            f"    assign {lane(chain, '0', bits)} = {ports[target]};",
        ]
        after.append(f"    assign {ports[source]} = {lane(chain, total, bits)};")
        connected[target] = lane(chain, index, bits)
        connected[source] = lane(chain, f"({index} + 1)", bits)
    for name, port in (*part.inputs.items(), *part.outputs.items()):
        if name not in connected:
            # A bus of a single bit has no lane that could be named.
            whole = name in grid.shared or count * port.bits == 1
            connected[name] = ports[name] if whole else lane(ports[name], index, port.bits)
    return [
        f"    localparam {total} = {count};",
        "",
        *(
            [f"    // Chains: lane k goes into {index} k; lane {total} leaves the last one.", *before, ""]
            if before
            else []
        ),
        f"    genvar {index};",
        "    generate",
        f"        for ({index} = 0; {index} < {total}; {index} = {index} + 1) begin : {block}",
        *instance_lines(part, label, connected, clocked=clocked, indent=12),
        "        end",
        "    endgenerate",
        *(["", *after] if after else []),
    ]


def _loop_in_loop(grid: Grid, *, clocked: bool) -> list[str]:
    """Any grid: the ports of all cells on one bus each."""
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
    lines += instance_lines(cell, label, connected, clocked=clocked, indent=16)
    return [*lines, *exits, "            end", "        end", "    endgenerate"]
