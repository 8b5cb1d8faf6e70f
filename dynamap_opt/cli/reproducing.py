"""``dynamap reproduce``: the paper's comparisons, part by part, with verdicts."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from dynamap_opt.errors import DynamapError
from dynamap_opt.files import reason_of, write_text
from dynamap_opt.reproduction import PARTS, reproduce
from dynamap_opt.reproduction.pictures import can_draw, draw_pictures
from dynamap_opt.reproduction.run import BOARD
from dynamap_opt.reproduction.tables import figures_csv, layers_csv

from .options import add_executor, add_json, names
from .output import Output
from .reproduction_text import print_reproduction

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add ``reproduce`` to the parser."""
    parser = commands.add_parser("reproduce", help="every comparison of the DYNAMAP paper, with verdicts")
    parser.add_argument(
        "--networks", type=names, metavar="LIST", help="zoo names or ONNX files (default: the paper's two)"
    )
    parser.add_argument("--board", default=BOARD, metavar="B", help=f"a preset or a TOML file (default {BOARD})")
    parser.add_argument(
        "--cost", type=names, default=["overlay", "paper"], metavar="LIST", help="cost presets (default overlay,paper)"
    )
    parser.add_argument(
        "--parts", type=names, default=list(PARTS), metavar="LIST", help=f"of {', '.join(PARTS)} (default all)"
    )
    parser.add_argument("--layers", action="store_true", help="print every layer, not only what they come to")
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="also write there: layers and figures as CSV, pictures as SVG"
    )
    parser.add_argument(
        "--work", "--resume", metavar="DIR", help="keep parts there; the same command goes on where it was stopped"
    )
    add_executor(parser, jobs=1)
    add_json(parser)
    parser.set_defaults(run=_reproduce)


def _reproduce(options: argparse.Namespace) -> int:
    output = Output(options.json)
    folder = None if options.output is None else Path(options.output)
    if folder is not None:
        _check_folder(folder)
    said = _Said()
    result = reproduce(
        options.networks,
        options.board,
        presets=options.cost,
        parts=options.parts,
        work=options.work,
        jobs=options.jobs,
        executor=options.executor,
        progress=said,
    )
    if output.speaks:
        print_reproduction(output, result, layers=options.layers)
    if folder is not None:
        _make_folder(folder)
        for network in dict.fromkeys(one.network for one in result.networks):
            write_text(folder / f"layers-{network}.csv", layers_csv(result, network))
        if result.beside:
            write_text(folder / "figures.csv", figures_csv(result))
        if can_draw():
            draw_pictures(result, folder)
        else:
            output.print("no pictures: matplotlib is not installed (dynamap-opt[bench])")
        output.print(f"wrote {folder}")
    facts = msgspec.to_builtins(result)
    output.json("reproduction", {"holds": result.holds, **facts})
    for owner, check in result.checks:
        if not check.holds:
            sys.stderr.write(f"dynamap: {owner}: it does not hold that {check.name}: {check.detail}\n")
    return 0 if result.holds else 1


def _check_folder(folder: Path) -> None:
    """Find out before minutes of work whether a folder could be made or written; nothing is made yet."""
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise DynamapError(
            f"cannot write into {str(folder)!r}: {str(there)!r} is no folder to write into; name another with -o"
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise DynamapError(f"cannot make {str(folder)!r}: {reason_of(error)}; name another folder with -o") from None


class _Said:
    """A line on standard error for every part that is done."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, done: int, total: int, label: str) -> None:
        """Report a part."""
        sys.stderr.write(f"[{done}/{total}] {label}, after {time.monotonic() - self._start:.0f} s\n")
        sys.stderr.flush()
