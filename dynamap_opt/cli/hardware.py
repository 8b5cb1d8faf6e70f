"""``dynamap generate`` and ``dynamap simulators``: the overlay as Verilog, and how fast it is simulated."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from dynamap_opt import api

from .options import add_json, array_shape, names, positive, positive_seconds
from .output import Output, integer, table

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add ``generate`` to the parser."""
    parser = commands.add_parser("generate", help="the overlay as a folder of Verilog")
    parser.add_argument("--array", type=array_shape, metavar="P1xP2", help="rows and columns of the array")
    parser.add_argument("--plan", metavar="FILE", help="take array, memory port and Winograd tiles from a plan")
    parser.add_argument(
        "--bytes-per-cycle", type=positive, metavar="N", help="width of the memory ports (default 16, or the plan's)"
    )
    parser.add_argument(
        "--winograd",
        type=_tiles,
        metavar="LIST",
        help="tiles m of F(m, 3), as 2,4 or none (default none, or the plan's)",
    )
    parser.add_argument(
        "--no-axi",
        dest="axi",
        action="store_false",
        help="leave out the top level with AXI interfaces, whose memory ports have at most 128 bytes",
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="new, empty, or an earlier design")
    add_json(parser)
    parser.set_defaults(run=_generate)

    rates = commands.add_parser("simulators", help="how fast each simulator runs the array, by its size")
    rates.add_argument(
        "--arrays", type=_arrays, default=[(4, 4), (16, 16)], metavar="LIST", help="shapes, small to large (4x4,16x16)"
    )
    rates.add_argument("--simulators", type=names, default=[], metavar="LIST", help="names (default all)")
    rates.add_argument("--whole", action="store_true", help="the whole overlay at work, not the systolic array alone")
    rates.add_argument(
        "--winograd", type=_tiles, default=(), metavar="LIST", help="tiles m of F(m, 3) of the whole overlay, as 2,4"
    )
    rates.add_argument(
        "--seconds", type=positive_seconds, default=1.0, metavar="S", help="how long a rate is measured (default 1)"
    )
    rates.add_argument(
        "--patience", type=positive_seconds, default=60.0, metavar="S", help="for one build and run (default 60)"
    )
    add_json(rates)
    rates.set_defaults(run=_simulators)


def _arrays(text: str) -> list[tuple[int, int]]:
    return [array_shape(part) for part in names(text)]


def _tiles(text: str) -> tuple[int, ...]:
    if text == "none":
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part in {"2", "4"} for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of Winograd tiles; write 2, 4, 2,4 or none")
    return tuple(int(part) for part in parts)


def _generate(options: argparse.Namespace) -> int:
    output = Output(options.json)
    design = api.generate(
        options.output,
        array=options.array,
        plan=options.plan,
        bytes_per_cycle=options.bytes_per_cycle,
        winograd=options.winograd,
        axi=options.axi,
    )
    if output.speaks:
        modules = sum(name.endswith(".v") for name in design.files)
        rows, columns = design.parameters["rows"], design.parameters["columns"]
        output.print(f"{rows}x{columns} overlay in {design.folder}: {modules} Verilog files, list in files.f")
        named = {"dsp": "DSP slices", "lut": "LUTs", "ff": "flip-flops", "bram": "18 kbit block RAMs"}
        estimates = {"overlay": design.resources}
        if design.axi_resources is not None:
            estimates["AXI"] = design.axi_resources
        output.print(
            table(
                [("resource", "left"), *((name, "right") for name in estimates)],
                [(label, *(integer(each[name]) for each in estimates.values())) for name, label in named.items()],
                title="resources (UltraScale+), estimated",
            )
        )
        if design.axi_top is not None:
            output.print(
                f"top level with AXI interfaces: {design.axi_top}; component.xml makes the folder an IP repository"
            )
        output.print("test bench: cd simulation; its list is simulation.f; it replays a small layer and prints PASS")
    output.json("generated", asdict(design))
    return 0


def _simulators(options: argparse.Namespace) -> int:
    output = Output(options.json)
    rates = api.simulators(
        options.arrays,
        names=options.simulators,
        whole=options.whole,
        winograd=options.winograd,
        seconds=options.seconds,
        patience=options.patience,
    )
    if output.speaks:
        what = "the whole overlay" if options.whole else "the systolic array"
        if options.winograd:
            what += " with " + " and ".join(f"F({tile}, 3)" for tile in options.winograd)
        output.print(
            table(
                [("simulator", "left"), ("array", "left"), ("build s", "right"), ("cycles/s", "right"), ("", "left")],
                [
                    (
                        rate.simulator,
                        rate.array,
                        "" if rate.build_seconds is None else f"{rate.build_seconds:.1f}",
                        "" if rate.cycles_per_second is None else integer(round(rate.cycles_per_second)),
                        rate.reason,
                    )
                    for rate in rates
                ],
                title=f"simulators on {what}",
            )
        )
    output.json("simulators", {"rates": [asdict(rate) for rate in rates]})
    return 0
