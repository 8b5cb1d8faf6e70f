"""A test bench in Verilog-2001 that replays a simulation and compares every output in every cycle."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from .module import HardwareError, Module
from .simulator import CompiledSimulation
from .verilog_text import CLOCK, Names, port_names, range_of, statement

__all__ = ["bench_files", "random_stimulus"]

_SHOWN = 10  # mismatches that are printed one by one


def random_stimulus(module: Module, *, cycles: int, seed: int = 0) -> dict[str, list[int]]:
    """Values for every input, any bits alike, for modules that accept anything."""
    source = random.Random(seed)
    return {name: [source.getrandbits(port.bits) for _ in range(cycles)] for name, port in module.inputs.items()}


def bench_files(module: Module, stimulus: Mapping[str, Sequence[int]], *, clocked: bool) -> dict[str, str]:
    """A test bench and its data: ``<module>_tb.v``, ``stimulus.hex``, ``expected.hex``.

    A word of data is a cycle: all inputs (all outputs), the last one in the highest bits. What is expected is what the
    compiled simulator computes. The bench prints ``PASS`` or ``FAIL`` with the number of cycles that differ, the
    first ones by name and value.

    Args:
        module: what is tested.
        stimulus: values of every input, equally many.
        clocked: whether the module has a clock.

    Raises:
        HardwareError: when the streams are not exactly those of the inputs or differ in length, when the module has
            no inputs or outputs, or without a C compiler.
    """
    if set(stimulus) != set(module.inputs):
        raise HardwareError(
            f"the stimulus of {module.name!r} is for {sorted(stimulus)}, its inputs are {sorted(module.inputs)}"
        )
    lengths = {len(stream) for stream in stimulus.values()}
    if len(lengths) != 1 or 0 in lengths or not module.outputs:
        raise HardwareError(
            f"the stimulus of {module.name!r} must have as many values for each input, at least one, "
            f"and the module an output; the streams have {sorted(lengths)} values"
        )
    simulation = CompiledSimulation(module)
    expected: dict[str, list[int]] = {name: [] for name in module.outputs}
    (cycles,) = lengths
    for cycle in range(cycles):
        simulation.step({name: stream[cycle] for name, stream in stimulus.items()})
        for name, stream in expected.items():
            stream.append(simulation.inspect(name))
    return {
        f"{module.name}_tb.v": "\n".join(_bench(module, cycles, clocked=clocked)) + "\n",
        "stimulus.hex": _words({name: port.bits for name, port in module.inputs.items()}, stimulus),
        "expected.hex": _words({name: port.bits for name, port in module.outputs.items()}, expected),
    }


def _words(bits: Mapping[str, int], streams: Mapping[str, Sequence[int]]) -> str:
    digits = -(-sum(bits.values()) // 4)
    lines = []
    for cycle in range(len(next(iter(streams.values())))):
        word, low = 0, 0
        for name, width in bits.items():
            word |= (streams[name][cycle] & ((1 << width) - 1)) << low
            low += width
        lines.append(f"{word:0{digits}x}")
    return "\n".join(lines) + "\n"


def _bench(module: Module, cycles: int, *, clocked: bool) -> list[str]:
    given = port_names(module)
    names = Names([module.name, *given.values()])
    bench, dut, stimulus, expected, wanted, cycle, failures = (
        names.give(name) for name in (f"{module.name}_tb", "dut", "stimulus", "expected", "wanted", "cycle", "failures")
    )
    inputs = {given[name]: port for name, port in module.inputs.items()}
    outputs = {given[name]: port for name, port in module.outputs.items()}
    in_bits = sum(port.bits for port in inputs.values())
    out_bits = sum(port.bits for port in outputs.values())
    ports = [*([CLOCK] if clocked else []), *inputs, *outputs]
    shown = [f'                    $display("cycle %0d:", {cycle});']
    low = 0
    for name, port in outputs.items():
        part = wanted if port.bits == out_bits else f"{wanted}[{low} +: {port.bits}]"
        shown += [
            f"                    if ({name} !== {part})",
            f'                        $display("    {name} is %h, not %h", {name}, {part});',
        ]
        low += port.bits
    tick = [f"            {CLOCK} = 1'b1;", f"            #5 {CLOCK} = 1'b0;"] if clocked else []
    return [
        "`default_nettype none",
        "",
        "// Replays stimulus.hex and compares with expected.hex; run it in the folder that has both.",
        f"module {bench};",
        "",
        *([f"    reg {CLOCK} = 1'b0;"] if clocked else []),
        *(f"    reg {range_of(port.bits)}{name};" for name, port in inputs.items()),
        *(f"    wire {range_of(port.bits)}{name};" for name, port in outputs.items()),
        f"    reg {range_of(in_bits)}{stimulus} [0:{cycles - 1}];",
        f"    reg {range_of(out_bits)}{expected} [0:{cycles - 1}];",
        f"    reg {range_of(out_bits)}{wanted};",
        f"    integer {cycle}, {failures};",
        "",
        f"    {module.name} {dut} (",
        *(f"        .{port}({port})" + ("," if port != ports[-1] else "") for port in ports),
        "    );",
        "",
        "    initial begin",
        f'        $readmemh("stimulus.hex", {stimulus});',
        f'        $readmemh("expected.hex", {expected});',
        f"        {failures} = 0;",
        f"        for ({cycle} = 0; {cycle} < {cycles}; {cycle} = {cycle} + 1) begin",
        *statement(f"{{{', '.join(reversed(inputs))}}} = {stimulus}[{cycle}];", 12),
        f"            {wanted} = {expected}[{cycle}];",
        "            #5;",
        *statement(f"if ({{{', '.join(reversed(outputs))}}} !== {wanted}) begin", 12),
        f"                {failures} = {failures} + 1;",
        f"                if ({failures} <= {_SHOWN}) begin",
        *shown,
        "                end",
        "            end",
        *tick,
        "        end",
        f"        if ({failures} == 0)",
        f'            $display("PASS: {module.name}, {cycles} cycles");',
        "        else",
        f'            $display("FAIL: {module.name}, %0d of {cycles} cycles differ", {failures});',
        "        $finish;",
        "    end",
        "",
        "endmodule",
        "",
        "`default_nettype wire",
    ]
