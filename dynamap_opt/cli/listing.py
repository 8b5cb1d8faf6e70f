"""``dynamap models`` and ``dynamap boards``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from dynamap_opt import api

from .options import add_json
from .output import Output, integer, table

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the two listings to the parser."""
    models = commands.add_parser("models", help="list the model zoo, or export a network as ONNX")
    add_json(models)
    models.set_defaults(run=_models)
    actions = models.add_subparsers(dest="action", metavar="export")
    export = actions.add_parser("export", help="write a zoo network as an ONNX file")
    export.add_argument("name", metavar="NAME", help="of the zoo")
    export.add_argument("-o", "--output", required=True, metavar="F.onnx", help="the file to write")
    export.set_defaults(run=_export)
    boards = commands.add_parser("boards", help="list the board presets")
    add_json(boards)
    boards.set_defaults(run=_boards)


def _models(options: argparse.Namespace) -> int:
    output = Output(options.json)
    summaries = api.models()
    output.print(
        table(
            [("model", "left"), ("GMAC", "right"), ("parameters", "right"), ("input", "left")],
            [
                (m.name, f"{m.macs / 1e9:.3f}", integer(m.parameters), "x".join(map(str, m.input_shape)))
                for m in summaries
            ],
        )
    )
    output.json("models", {"models": [asdict(summary) for summary in summaries]})
    return 0


def _export(options: argparse.Namespace) -> int:
    api.export_model(options.name, options.output)
    Output(None).print(f"wrote {options.output}")
    return 0


def _boards(options: argparse.Namespace) -> int:
    output = Output(options.json)
    boards = api.boards()
    columns = ("board", "device", "DSP", "for the array", "kLUT", "on-chip MB", "DRAM GB/s", "clock MHz")
    output.print(
        table(
            [(column, "left" if column in {"board", "device"} else "right") for column in columns],
            [
                (
                    board.name,
                    board.device,
                    integer(board.dsp),
                    integer(board.array_dsp),
                    integer(board.lut // 1000),
                    f"{board.on_chip_bytes / 1e6:.2f}",
                    f"{board.dram_bytes_per_second / 1e9:.1f}",
                    f"{board.clock_hz / 1e6:.0f}",
                )
                for board in boards
            ],
        )
    )
    output.json("boards", {"boards": [board.as_dict() for board in boards]})
    return 0
