"""``dynamap report``: a plan as one HTML page."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from dynamap_opt import api

from .options import positive
from .output import Output, Progress

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add ``report`` to the parser."""
    parser = commands.add_parser("report", help="one self-contained HTML page about a plan")
    parser.add_argument("plan", metavar="PLAN", help="a file written by 'dynamap map --json'")
    parser.add_argument("--against", metavar="PLAN", help="another plan for the same network, to show what differs")
    parser.add_argument("--model", metavar="MODEL", help="where the network is now, if it has moved")
    parser.add_argument(
        "--no-explore",
        dest="explore",
        action="store_false",
        help="leave out the map of all arrays, the Pareto front and other memories, which take longest",
    )
    parser.add_argument("--threads", type=positive, default=2, metavar="N", help="cores to use (default 2)")
    parser.add_argument("-o", "--output", required=True, metavar="F.html", help="the page")
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    with contextlib.closing(_Steps()) as progress:
        page = api.report(
            options.plan,
            against=options.against,
            model=options.model,
            explore=options.explore,
            threads=options.threads,
            progress=progress,
        )
    page.save(options.output)
    Output(None).print(f"{page.title}: {options.output}, {len(page.html.encode()) / 1e6:.1f} MB")
    return 0


class _Steps:
    """A line of progress for each thing that is done, one after another."""

    def __init__(self) -> None:
        self._what = ""
        self._line: Progress | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._line is None or what != self._what:
            self.close()
            self._what, self._line = what, Progress(what)
        self._line(done, total)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
