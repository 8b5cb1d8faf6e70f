"""Options with the same name and meaning in every command, and how their texts are read."""

from __future__ import annotations

import argparse
import re

from dynamap_solvers import method_names

__all__ = [
    "add_executor",
    "add_host",
    "add_json",
    "add_mapping",
    "add_model",
    "add_solving",
    "array_shape",
    "input_shapes",
    "names",
    "non_negative",
    "non_negative_number",
    "positive",
    "positive_seconds",
]

_ARRAY = re.compile(r"(\d{1,7})[xX×](\d{1,7})")


def array_shape(text: str) -> tuple[int, int]:
    """``P1xP2`` as a pair."""
    match = _ARRAY.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an array shape; write it as 92x66")
    return int(match[1]), int(match[2])


def names(text: str) -> list[str]:
    """A comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or not int(text[:9]) >= 1 or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 999999999")
    return int(text)


def non_negative(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 999999999")
    return int(text)


def non_negative_number(text: str) -> float:
    """A finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0, such as 0.01")
    return value


def positive_seconds(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds; write a number above 0")
    return value


def _input_shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, equals, extents = text.rpartition("=")
    parts = extents.replace("x", ",").split(",")
    if not equals or not name or not all(part.strip().isdecimal() and len(part) <= 9 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not an input shape; write it as NAME=1,3,224,224")
    return name, tuple(int(part) for part in parts)


def input_shapes(options: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    """All ``--input-shape`` options together."""
    return dict(options.input_shape)


def add_executor(parser: argparse.ArgumentParser, *, jobs: int) -> None:
    """``--jobs`` and ``--executor``."""
    parser.add_argument(
        "--jobs", type=positive, default=jobs, metavar="N", help=f"processes on this machine (default {jobs})"
    )
    parser.add_argument("--executor", metavar="E", help="a Dask cluster instead, as dask://host:port")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", metavar="FILE", help="also write the result as JSON; '-' writes only that, to stdout")


def add_host(parser: argparse.ArgumentParser) -> None:
    """``--allow-host`` and ``--input-shape``."""
    parser.add_argument(
        "--allow-host", action="store_true", help="let the host run operators the overlay lacks, at zero cycles"
    )
    parser.add_argument(
        "--input-shape",
        action="append",
        default=[],
        type=_input_shape,
        metavar="NAME=N,C,H,W",
        help="shape of an input the file leaves open; may be given for several inputs",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """MODEL, ``--board``, ``--cost``, ``--threads`` and the options of the host."""
    parser.add_argument("model", metavar="MODEL", help="a zoo name ('dynamap models' lists them) or an ONNX file")
    parser.add_argument(
        "--board", required=True, metavar="B", help="a preset ('dynamap boards' lists them) or a TOML file"
    )
    parser.add_argument(
        "--cost",
        default="overlay",
        choices=("overlay", "paper"),
        help="the hardware's own formulas or the published ones",
    )
    parser.add_argument("--threads", type=positive, default=2, metavar="N", help="cores to use (default 2)")
    add_host(parser)


def add_mapping(parser: argparse.ArgumentParser) -> None:
    """What restricts a mapping."""
    parser.add_argument(
        "--array", type=array_shape, metavar="P1xP2", help="fix the array's shape instead of exploring all"
    )
    parser.add_argument(
        "--algorithms", type=names, metavar="LIST", help="algorithms or families to choose from, as im2col,winograd"
    )
    parser.add_argument("--dataflows", type=names, metavar="LIST", help="dataflows to choose from, as NS,WS")
    parser.add_argument(
        "--method", default="auto", metavar="M", help=f"proves the mapping: {', '.join(method_names())} (default auto)"
    )
    parser.add_argument("--time-limit", type=positive_seconds, metavar="S", help="seconds for that proof")
    parser.add_argument(
        "--macs-per-dsp",
        type=positive,
        default=1,
        metavar="N",
        help="8-bit products per DSP and cycle (default 1)",
    )


def add_solving(parser: argparse.ArgumentParser) -> None:
    """What limits and directs one solve."""
    parser.add_argument("--time-limit", type=positive_seconds, metavar="S", help="seconds (default: no limit)")
    parser.add_argument(
        "--gap", type=non_negative_number, default=0.0, metavar="G", help="be content with this relative gap, as 0.01"
    )
    parser.add_argument("--seed", type=non_negative, default=0, metavar="N", help="for methods that randomise")
    parser.add_argument("--threads", type=positive, default=2, metavar="N", help="cores to use (default 2)")
