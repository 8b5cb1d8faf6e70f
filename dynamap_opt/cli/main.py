"""The parser, and the one place where exceptions become sentences and exit codes.

Exit codes: 0 done and what was asked for holds; 1 done but it does not hold; 2 unusable input.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from dynamap_models.errors import ModelError
from dynamap_opt.errors import DisagreementError, DynamapError, NoMappingError
from dynamap_rtl import OverlayError
from dynamap_solvers.errors import SolverError

from . import benchmarks, hardware, listing, mapping, plans, programs, reports, reproducing, solving, studies
from .interrupts import INTERRUPTED

__all__ = ["command_line", "main"]


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, and where to look."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {_one_line(message)}; see '{self.prog} --help'\n")


def _one_line(message: object) -> str:
    """A message with what cannot be shown on one line escaped: names come from files and may hold anything."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in str(message)
    )


def command_line() -> argparse.ArgumentParser:
    """The parser of all commands; each sets ``run``, which takes the options and returns the exit code."""
    parser = _Parser(
        prog="dynamap",
        description="Provably optimal mapping of convolutional networks onto FPGA systolic-array overlays.",
    )
    from dynamap_opt import __version__  # noqa: PLC0415 - reading it costs a little

    parser.add_argument("--version", action="version", version=f"dynamap {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (listing, mapping, plans, reports, studies, reproducing, solving, benchmarks, hardware, programs):
        module.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code.

    Args:
        arguments: the command line without the program's name; ``sys.argv`` for None.
    """
    try:
        options = command_line().parse_args(arguments)
    except SystemExit as stop:  # argparse has printed its sentence
        return int(stop.code or 0)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        code = run(options)
        sys.stdout.flush()
    except (DynamapError, ModelError, OverlayError, SolverError) as error:
        sys.stderr.write(f"dynamap: {_one_line(error)}\n")
        return 1 if isinstance(error, NoMappingError) else 2
    except DisagreementError as error:
        sys.stderr.write(f"dynamap: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("dynamap: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        _mute()
        return 0
    except OSError as error:  # files are guarded where they are opened; what is left is standard output
        sys.stderr.write(f"dynamap: cannot write the result: {_one_line(error.strerror or error)}\n")
        _mute()
        return 2
    return code


def _mute() -> None:
    """Let what standard output still buffers go nowhere, so that the interpreter's last flush does not fail as well."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
