"""``dynamap generate``: the overlay as Verilog."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from dynamap_opt import api

from .options import add_json, array_shape, positive
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
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="new, empty, or an earlier design")
    add_json(parser)
    parser.set_defaults(run=_generate)


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
    )
    if output.speaks:
        modules = sum(name.endswith(".v") for name in design.files)
        rows, columns = design.parameters["rows"], design.parameters["columns"]
        output.print(f"{rows}x{columns} overlay in {design.folder}: {modules} Verilog files, list in files.f")
        named = {"dsp": "DSP slices", "lut": "LUTs", "ff": "flip-flops", "bram": "18 kbit block RAMs"}
        output.print(
            table(
                [("resource", "left"), ("estimate", "right")],
                [(label, integer(design.resources[name])) for name, label in named.items()],
                title="resources (UltraScale+)",
            )
        )
        output.print("test bench: cd simulation; its list is simulation.f; it replays a small layer and prints PASS")
    output.json("generated", asdict(design))
    return 0
