"""``dynamap solve``, ``convert`` and ``methods``: the solvers on a problem from a file."""

from __future__ import annotations

import argparse
import math
import sys
import time
from typing import Any

from dynamap_opt.errors import DynamapError
from dynamap_solvers import (
    METHODS,
    CertificateError,
    ProblemError,
    SelectionProblem,
    Solution,
    Status,
    StopReason,
    check,
    method_names,
    read_problem,
    solve,
    write_problem,
)
from dynamap_solvers import Progress as SolveProgress

from .interrupts import interruptible
from .options import add_json, add_solving
from .output import Output, counted, integer, percent, seconds, table

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the three commands to the parser."""
    parser = commands.add_parser("solve", help="solve a selection problem from a file, with proof")
    parser.add_argument("file", metavar="FILE", help="a problem; its format is told by its content")
    parser.add_argument(
        "--method",
        default="auto",
        metavar="M",
        help=f"{', '.join(method_names())} (default auto; see 'dynamap methods')",
    )
    add_solving(parser)
    parser.add_argument("--check", action="store_true", help="check the certificate by the separate verifier")
    add_json(parser)
    parser.set_defaults(run=_solve)
    convert = commands.add_parser("convert", help="write a selection problem in another format")
    convert.add_argument("file", metavar="FILE", help="a problem; its format is told by its content")
    convert.add_argument("-o", "--output", required=True, metavar="OUT", help="its ending says the format")
    convert.set_defaults(run=_convert)
    methods = commands.add_parser("methods", help="list the methods of 'solve' and what they can do")
    add_json(methods)
    methods.set_defaults(run=_methods)


def _read(path: str) -> SelectionProblem:
    try:
        return read_problem(path)
    except OSError as error:
        raise DynamapError(f"cannot read {path!r}: {(error.strerror or str(error)).lower()}") from None


def _solve(options: argparse.Namespace) -> int:
    output = Output(options.json)
    started = time.perf_counter()
    problem = _read(options.file)
    reading = time.perf_counter() - started
    reporter = _Reporter()
    started = time.perf_counter()
    solution = interruptible(
        lambda: solve(
            problem,
            method=options.method,
            time_limit=options.time_limit,
            gap=options.gap,
            seed=options.seed,
            threads=options.threads,
            progress=reporter,
        ),
        cancel=reporter.cancel,
    )
    took = time.perf_counter() - started
    reporter.close()
    certificate = _check(problem, solution) if options.check else None
    if output.speaks:
        _print(output, options, problem, solution, certificate, reading, took)
    output.json("solution", _facts(options, problem, solution, certificate, reading, took))
    done = solution.status is Status.OPTIMAL or solution.stop_reason is StopReason.GAP_LIMIT
    return 0 if done and (certificate is None or certificate["holds"]) else 1


def _check(problem: SelectionProblem, solution: Solution) -> dict[str, Any]:
    """What the verifier says of the certificate: kind, whether it holds, and a sentence."""
    if solution.certificate is None:
        said = "there is none: this method leaves no certificate" if solution.stop_reason.is_proof else "nothing proved"
        return {"kind": None, "holds": False, "message": said}
    kind = type(solution.certificate).__name__
    started = time.perf_counter()
    try:
        check(problem, solution)
    except (CertificateError, ProblemError) as error:  # the latter where no verifier takes this kind of problem
        return {"kind": kind, "holds": False, "message": f"it does NOT hold: {error}"}
    took = seconds(time.perf_counter() - started)
    return {"kind": kind, "holds": True, "message": f"checked by the separate verifier in {took}"}


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return integer(value) if isinstance(value, int) else repr(value)


def _print(
    output: Output,
    options: argparse.Namespace,
    problem: SelectionProblem,
    solution: Solution,
    certificate: dict[str, Any] | None,
    reading: float,
    took: float,
) -> None:
    sizes = problem.sizes
    size = f"{counted(problem.num_variables, 'variable')}, {counted(problem.num_edges, 'edge')}, at most "
    size += counted(int(sizes.max(initial=0)), "choice")
    if problem.usage_costs is not None:
        size += f", usage limit {integer(problem.usage_limit)}"
    stop = "" if solution.stop_reason.is_proof else f" (stopped by {solution.stop_reason})"
    asked = "" if options.method == solution.method else f" (chosen by {options.method})"
    phases = [("reading", reading), *solution.seconds.items()]
    lines = [
        ("problem", f"{problem.name or options.file}: {size}"),
        ("status", f"{solution.status}{stop}"),
        ("objective", _number(solution.objective)),
        ("bound", _number(solution.bound)),
        ("gap", "unknown" if math.isinf(solution.gap) else percent(solution.gap)),
        ("method", f"{solution.method}{asked}"),
        ("time", f"{seconds(took)} ({', '.join(f'{name} {seconds(value)}' for name, value in phases)})"),
    ]
    if solution.nodes is not None:
        lines.append(("nodes", integer(solution.nodes)))
    if problem.usage_costs is not None and solution.assignment is not None:
        peak = problem.peak_usage(solution.assignment)
        lines.append(("peak usage", f"{integer(peak)} of {integer(problem.usage_limit)}"))
    if certificate is not None:
        lines.append(("certificate", certificate["message"]))
    if solution.reason:
        lines.append(("reason", solution.reason))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        output.print(f"{name:<{width}}  {value}")


def _facts(
    options: argparse.Namespace,
    problem: SelectionProblem,
    solution: Solution,
    certificate: dict[str, Any] | None,
    reading: float,
    took: float,
) -> dict[str, Any]:
    return {
        "file": options.file,
        "name": problem.name,
        "variables": problem.num_variables,
        "edges": problem.num_edges,
        "status": solution.status.value,
        "stop_reason": solution.stop_reason.value,
        "objective": solution.objective,
        "bound": solution.bound if solution.bound is None or math.isfinite(solution.bound) else None,
        "gap": solution.gap if math.isfinite(solution.gap) else None,
        "method": solution.method,
        "method_asked": options.method,
        "seed": solution.seed,
        "nodes": solution.nodes,
        "seconds": took,
        "seconds_by_phase": {"reading": reading, **solution.seconds},
        "assignment": None if solution.assignment is None else list(solution.assignment),
        "certificate": certificate,
        "reason": solution.reason,
    }


def _rounded(value: float | None) -> str:
    """What a method reports on its way, which may be in floating point."""
    return (
        "none" if value is None or not math.isfinite(value) else f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:g}"
    )


class _Reporter:
    """Says on standard error how a solve stands, once it has taken two seconds."""

    _PATIENCE_S = 2.0

    def __init__(self) -> None:
        self._last = 0.0
        self._shown = False
        self._cancelled = False

    def cancel(self) -> None:
        """Let the solve stop at its next report."""
        self._cancelled = True

    def __call__(self, at: SolveProgress) -> bool:
        terminal = sys.stderr.isatty()
        pause = 0.2 if terminal else self._PATIENCE_S
        if at.seconds >= self._PATIENCE_S and at.seconds - self._last >= pause:
            self._last = at.seconds
            nodes = "" if at.nodes is None else f", {at.nodes:,} nodes"
            found = f"best {_rounded(at.objective)}, bound {_rounded(at.bound)}{nodes}"
            text = f"{at.method}: {at.phase}, {at.seconds:.0f} s, {found}"
            sys.stderr.write(f"\r{text}\x1b[K" if terminal else f"{text}\n")
            sys.stderr.flush()
            self._shown = terminal
        return not self._cancelled

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _convert(options: argparse.Namespace) -> int:
    problem = _read(options.file)
    try:
        offset = write_problem(problem, options.output)
    except OSError as error:
        raise DynamapError(f"cannot write {options.output!r}: {(error.strerror or str(error)).lower()}") from None
    note = f"; add {integer(offset)} to its objective to get the problem's" if offset else ""
    Output(None).print(f"wrote {options.output}{note}")
    return 0


def _methods(options: argparse.Namespace) -> int:
    output = Output(options.json)
    rows, facts = [], []
    for method in METHODS.values():
        missing = list(method.missing)
        extra = f"dynamap-opt[{method.extra}]" if method.extra else " ".join(missing)
        rows.append(
            (
                method.name,
                "any" if method.any_graph else "some",
                "yes" if method.takes_usage else "no",
                "yes" if method.heeds_time_limit else "no need",
                f"install {extra}" if missing else "yes",
                method.summary,
            )
        )
        facts.append(
            {
                "name": method.name,
                "summary": method.summary,
                "any_graph": method.any_graph,
                "takes_usage": method.takes_usage,
                "heeds_time_limit": method.heeds_time_limit,
                "requires": list(method.requires),
                "available": not missing,
            }
        )
    columns = ("method", "graphs", "usage limit", "stops in time", "available", "what it is")
    output.print(table([(column, "left") for column in columns], rows))
    output.json("methods", {"methods": facts})
    return 0
