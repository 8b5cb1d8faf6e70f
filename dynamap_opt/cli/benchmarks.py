"""``dynamap bench``: every method on every instance of a suite, agreement checked, table and plot."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from dynamap_opt import api
from dynamap_opt.benchmark import suite_names
from dynamap_solvers.bench import Row, summarise

from .options import add_json, names, non_negative, positive, positive_seconds
from .output import Output, column_blocks, integer, percent, table

__all__ = ["add_commands"]

_GIB = 2**30


def add_commands(commands: Any) -> None:
    """Add ``bench`` to the parser."""
    parser = commands.add_parser("bench", help="the solver benchmark: every method and peer on a suite of problems")
    parser.add_argument(
        "--suite", default="smoke", metavar="S", help=f"one of {', '.join(suite_names())} (default smoke)"
    )
    parser.add_argument(
        "--methods",
        type=names,
        metavar="LIST",
        help="methods and peers, as auto,ilp,peer-toulbar2; ours and peers stand for all that are installed "
        "(default auto,peers)",
    )
    parser.add_argument(
        "--time-limit", type=positive_seconds, default=60.0, metavar="S", help="seconds for one solve (default 60)"
    )
    parser.add_argument(
        "--repeat", type=positive, default=25, metavar="N", help="repetitions of quick runs, for medians (default 25)"
    )
    parser.add_argument("--seed", type=non_negative, default=0, metavar="N", help="for methods that randomise")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads of a method (default as many as it takes; peers 1)"
    )
    parser.add_argument(
        "--memory-gib", type=positive, metavar="N", help="memory of a run (default 3/4 of all there is)"
    )
    parser.add_argument("--folder", metavar="DIR", help="IOPDDL files, for the suites iopddl and all")
    parser.add_argument(
        "--results", metavar="FILE.jsonl", help="keeps every result as it comes; what is there is not run again"
    )
    parser.add_argument(
        "--keep-trying", action="store_true", help="try a method on larger instances though a smaller was too much"
    )
    parser.add_argument(
        "--plot", metavar="FILE.svg", help="draw the performance profile, or time against size for the suite growth"
    )
    add_json(parser)
    parser.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> int:
    output = Output(options.json)
    report = api.bench(
        options.suite,
        methods=options.methods,
        time_limit=options.time_limit,
        repeat=options.repeat,
        seed=options.seed,
        threads=options.threads,
        memory_limit=None if options.memory_gib is None else options.memory_gib * _GIB,
        folder=options.folder,
        results=options.results,
        plot=options.plot,
        give_up=not options.keep_trying,
        progress=_say,
    )
    if output.speaks:
        _print_instances(output, report.rows, f"suite {options.suite}: seconds to build and solve")
        _print_methods(output, report.rows)
        if report.reused:
            output.print(f"{integer(report.reused)} of {integer(len(report.rows))} results were there already")
        if options.plot:
            output.print(f"wrote {options.plot}")
    output.json("benchmark", {"suite": options.suite, "time_limit": options.time_limit, **report.as_dict()})
    for sentence in report.disagreements:
        sys.stderr.write(f"dynamap: methods disagree on {sentence}\n")
    return 1 if report.disagreements else 0


def _say(done: int, total: int, row: Row) -> None:
    sys.stderr.write(f"[{done}/{total}] {row.instance} | {row.method}: {row.status} {_cell(row)}\n")
    sys.stderr.flush()


def short_seconds(value: float) -> str:
    """Three digits and a unit.

    >>> short_seconds(0.0000123), short_seconds(0.0312), short_seconds(1.2), short_seconds(75.4)
    ('12.3 µs', '31.2 ms', '1.20 s', '75.4 s')
    """
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        scaled = value * factor
        if scaled >= 0.9995 or unit == "µs":
            break
    digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
    return f"{scaled:.{digits}f} {unit}"


def _cell(row: Row) -> str:
    """A run in a few characters."""
    spent = row.seconds_per_cost_set
    time = "" if spent is None else short_seconds(spent) + ("/set" if row.cost_sets > 1 else "")
    if row.proved or row.status == "reference":
        return time
    if row.status == "feasible" and row.objective and row.bound is not None:
        return f"gap {percent((row.objective - row.bound) / abs(row.objective))}"
    return {"skipped": "-", "refused": "n/a"}.get(row.status, row.stop_reason)


def _print_instances(output: Output, rows: Sequence[Row], title: str) -> None:
    methods = list(dict.fromkeys(row.method for row in rows if row.status != "refused"))
    grid: dict[str, dict[str, Row]] = {}
    for row in rows:
        grid.setdefault(row.instance, {})[row.method] = row
    facts = ("variables", "edges", "choices", "tw ≤", "objective")
    lines = []
    for instance, line in grid.items():
        any_row = next(iter(line.values()))
        known = (any_row.variables, any_row.edges, any_row.max_choices, any_row.treewidth_upper_bound)
        proved = {m: row.seconds_per_cost_set or 0.0 for m, row in line.items() if row.proved}
        fastest = min(proved, key=proved.__getitem__) if len(proved) > 1 else None
        cells = [_cell(line[m]) + (" *" if m == fastest else "") if m in line else "" for m in methods]
        lines.append([instance, *("" if f is None else integer(f) for f in known), _best(line.values()), *cells])
    headings = ["instance", *facts, *methods]
    title = f"{title} (* fastest; n/a: refused; -: not tried)"
    for block in column_blocks((headings, *lines), output.console.width):
        sides = [(headings[k], "left" if k == 0 else "right") for k in block]
        output.print(table(sides, [[line[k] for k in block] for line in lines], title=title))
        title = f"{title.partition(' (')[0]} (continued)" if "(continued)" not in title else title


def _best(line: Any) -> str:
    """The least objective known, with a mark where it is not proved."""
    found = [row for row in line if row.objective is not None]
    if not found:
        return "infeasible" if any(row.status == "infeasible" for row in line) else "none"
    best = min(row.objective for row in found)
    text = integer(best) if isinstance(best, int) else f"{best:.6g}"
    return text if any(row.proved for row in found) else f"≤ {text}"


def _print_methods(output: Output, rows: Sequence[Row]) -> None:
    columns = (
        "method",
        "proved",
        "fastest",
        "build",
        "solve",
        "over the fastest",
        "worst",
        "peak memory",
        "import",
        "first call",
    )
    lines = [
        (
            s.method,
            f"{s.proved} of {s.instances}",
            integer(s.fastest),
            *("" if t is None else short_seconds(t) for t in (s.build_seconds, s.solve_seconds)),
            *("" if r is None else f"{r:,.1f}x" for r in (s.mean_ratio, s.worst_ratio)),
            "" if s.peak_bytes is None else f"{s.peak_bytes / 2**20:,.0f} MiB",
            *("" if t is None else short_seconds(t) for t in (s.import_seconds, s.first_call_seconds)),
        )
        for s in summarise(rows)
    ]
    sides = [(column, "left" if column == "method" else "right") for column in columns]
    output.print(table(sides, lines, title="by method: medians; geometric mean and worst ratio to the fastest"))
