"""``dynamap compile``, ``disassemble`` and ``simulate``: networks as programs of the overlay, and what these do."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dynamap_opt import api

from .options import add_executor, add_host, add_json, array_shape, input_shapes, names, non_negative, positive
from .output import Output, Progress, integer, percent, seconds, table

if TYPE_CHECKING:
    from dynamap_opt.execution.simulate import LayerSimulation, Simulation

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the three commands to the parser."""
    compile_ = commands.add_parser("compile", help="a whole network as programs and memory image of the overlay")
    _add_source(compile_)
    compile_.add_argument("-o", "--output", required=True, metavar="FILE", help="where the compiled network goes")
    add_json(compile_)
    compile_.set_defaults(run=_compile)

    listing = commands.add_parser("disassemble", help="check a compiled network and print its programs")
    listing.add_argument("program", metavar="FILE", help="a file written by 'dynamap compile'")
    _add_layers(listing)
    listing.set_defaults(run=_disassemble)

    simulate = commands.add_parser("simulate", help="run layers on the RTL: values against ONNX Runtime, cycles")
    _add_source(simulate)
    _add_layers(simulate)
    simulate.add_argument(
        "--chain", action="store_true", help="all layers in one memory, each on what the ones before have written"
    )
    simulate.add_argument(
        "--simulator",
        default="dynamap",
        choices=("dynamap", "verilator"),
        help="of the netlist (default), or Verilator's of the exported Verilog, for small arrays",
    )
    simulate.add_argument("--program", metavar="FILE", help="run what 'dynamap compile' wrote for the same source")
    add_executor(simulate, jobs=2)
    simulate.add_argument(
        "--work",
        "--resume",
        metavar="DIR",
        help="keep results there; the same command goes on where it was stopped",
    )
    add_json(simulate)
    simulate.set_defaults(run=_simulate)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="PLAN-or-MODEL", help="a file of 'dynamap map --json', a zoo name or an ONNX file"
    )
    parser.add_argument("--board", metavar="B", help="for a model: a preset or a TOML file; a plan has its own")
    parser.add_argument("--model", metavar="MODEL", help="where the network of a plan is now, if it has moved")
    parser.add_argument(
        "--array", type=array_shape, metavar="P1xP2", help="the array's shape; a plan for another one is made again"
    )
    parser.add_argument("--algorithms", type=names, metavar="LIST", help="for a model: algorithms to choose from")
    parser.add_argument("--dataflows", type=names, metavar="LIST", help="for a model: dataflows to choose from")
    parser.add_argument("--cost", default="overlay", choices=("overlay", "paper"), help="for a model: cost preset")
    parser.add_argument("--threads", type=positive, default=2, metavar="N", help="cores planning uses (default 2)")
    parser.add_argument(
        "--seed", type=non_negative, default=0, metavar="N", help="of the random maps that calibrate and are input"
    )
    add_host(parser)


def _add_layers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layers", metavar="SPEC", help="names or ranges of numbers, as 0-5,12 (default all)")


def _planning(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of the calls from the options of :func:`_add_source`."""
    wanted = ("model", "array", "algorithms", "dataflows", "cost", "allow_host", "threads", "seed")
    return {name: getattr(options, name) for name in wanted} | {"input_shapes": input_shapes(options)}


def _compile(options: argparse.Namespace) -> int:
    from dynamap_opt.compilation import save_compiled  # noqa: PLC0415 - loads PyRTL

    output = Output(options.json)
    compiled = api.compile(options.source, options.board, **_planning(options))
    save_compiled(compiled, options.output)
    circuit = compiled.circuit
    programs = [layer for layer in compiled.layers if layer.program_bytes]
    skipped = [layer.name for layer in compiled.layers if not layer.program_bytes]
    if output.speaks:
        output.print(
            f"{compiled.model} for {circuit.rows}x{circuit.columns} in {options.output}: {integer(len(programs))} "
            f"programs, tensors {integer(compiled.tensor_bytes)} bytes, constants and programs "
            f"{integer(len(compiled.image))} bytes"
        )
        if skipped:
            output.print(f"not run by the overlay: {', '.join(skipped)}")
    facts = {
        "model": compiled.model,
        "circuit": asdict(circuit),
        "tensor_bytes": compiled.tensor_bytes,
        "image_bytes": len(compiled.image),
        "image_sha256": compiled.checksum,
        "skipped": skipped,
        "layers": [asdict(layer) for layer in programs],
    }
    output.json("compiled", facts)
    return 0


def _disassemble(options: argparse.Namespace) -> int:
    from dynamap_opt.compilation import listing, load_compiled  # noqa: PLC0415 - loads PyRTL
    from dynamap_opt.execution.selection import select_layers  # noqa: PLC0415

    compiled = load_compiled(options.program)
    chosen = select_layers(options.layers, [layer.name for layer in compiled.layers])
    for line in listing(compiled, [compiled.layers[index] for index in chosen]):
        sys.stdout.write(f"{line}\n")
    return 0


def _simulate(options: argparse.Namespace) -> int:
    output = Output(options.json)
    with Progress("simulating predicted cycles") as progress:
        simulation = api.simulate(
            options.source,
            options.board,
            **_planning(options),
            program=options.program,
            layers=options.layers,
            chain=options.chain,
            simulator=options.simulator,
            jobs=options.jobs,
            executor=options.executor,
            work=options.work,
            progress=progress,
        )
    if output.speaks:
        _print(output, simulation)
    output.json("simulation", {**asdict(simulation), "values_match": simulation.values_match})
    return 0 if simulation.values_match else 1


def _print(output: Output, simulation: Simulation) -> None:
    columns = [
        ("#", "right"),
        ("layer", "left"),
        ("operation", "left"),
        ("algorithm", "left"),
        ("flow", "left"),
        ("predicted", "right"),
        ("measured", "right"),
        ("more", "right"),
        ("values", "left"),
    ]
    rows = [_row(layer) for layer in simulation.layers]
    totals = (simulation.total_predicted_cycles, simulation.total_measured_cycles)
    rows.append(("", "total", "", "", "", *map(integer, totals), _more(*totals), ""))
    output.print(table(columns, rows, footer=True))
    compared = sum(layer.elements for layer in simulation.layers)
    different = sum(layer.different for layer in simulation.layers)
    verdict = "all equal to the reference's" if not different else f"{integer(different)} not the reference's"
    how = "one after another in one memory" if simulation.chained else "each on the reference's tensors"
    rows_, columns_ = simulation.array
    output.print(
        f"{simulation.model} on the {rows_}x{columns_} overlay, layers {how}: {integer(compared)} elements, {verdict}; "
        f"{seconds(simulation.seconds)}"
    )
    far = {layer.name: layer.measured_cycles / layer.predicted_cycles - 1 for layer in simulation.layers if _ran(layer)}
    if far:
        farthest = max(far, key=lambda name: abs(far[name]))
        close = sum(abs(deviation) <= 0.01 for deviation in far.values())
        output.print(
            f"cycles of {close} of {len(far)} layers are within 1 % of the plan, the farthest: {farthest}, "
            f"{percent(far[farthest])}"
        )
    if simulation.resumed:
        output.print(f"results of {simulation.resumed} layers were kept from an earlier run")
    if simulation.skipped:
        output.print(f"not run by the overlay, taken from the reference: {', '.join(simulation.skipped)}")


def _ran(layer: LayerSimulation) -> bool:
    return layer.predicted_cycles > 0 and layer.measured_cycles > 0


def _row(layer: LayerSimulation) -> tuple[str, ...]:
    return (
        str(layer.index),
        layer.name,
        layer.operation,
        layer.algorithm,
        layer.dataflow or "",
        integer(layer.predicted_cycles),
        integer(layer.measured_cycles),
        _more(layer.predicted_cycles, layer.measured_cycles),
        _values(layer),
    )


def _more(predicted: int, measured: int) -> str:
    """Measured cycles over those predicted, less one."""
    return percent(measured / predicted - 1) if predicted and measured else ""


def _values(layer: LayerSimulation) -> str:
    if layer.problem:
        return layer.problem
    if layer.stray_bytes:
        return f"{integer(layer.stray_bytes)} bytes beside the output changed"
    if layer.different:
        return f"{integer(layer.different)} of {integer(layer.elements)} differ, by {layer.greatest_difference} at most"
    return "equal"
