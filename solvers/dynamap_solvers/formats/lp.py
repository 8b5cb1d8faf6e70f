"""CPLEX LP files, written only: the problem as an integer program for any solver of such, see ``_polytope``."""

from __future__ import annotations

import os
from collections.abc import Iterable

from dynamap_solvers.formats._files import save
from dynamap_solvers.formats._polytope import program
from dynamap_solvers.formats._words import escape
from dynamap_solvers.problem import SelectionProblem

__all__ = ["write_lp"]

_TERMS_PER_LINE = 8  # the format limits a line to 560 characters


def write_lp(problem: SelectionProblem, path: str | os.PathLike[str]) -> None:
    """Write one cost set as an integer program, usage limit, fixed choices and ties included.

    The optimum of the file is the objective of the problem; ``x_i_a`` is 1 where variable i takes choice a. Comments
    say which variable is which. All digits are written; solvers round integers of 2**53 or more.

    Raises:
        ProblemError: if the problem is a batch.
        OSError: if the file cannot be written.
    """
    model = program(problem, "An LP file")
    columns = model.columns
    lines = [f"\\ Problem: {escape(problem.name)}"]
    lines += [f"\\ x_{i}: {escape(name)}" for i, name in enumerate(problem.names)]
    lines += ["Minimize", " obj:"]
    costs = [(column.cost, column.name) for column in columns if column.cost]
    lines += _terms(costs or [(0, columns[0].name if columns else "nothing")])
    lines.append("Subject To")
    for row in model.rows:
        lines.append(f" {row.name}:")
        lines += _terms((coefficient, columns[c].name) for coefficient, c in row.terms)
        lines[-1] += f" {'<=' if row.at_most else '='} {row.right}"
    fixed = [column.name for column in columns if column.upper == 0] + ([] if columns else ["nothing"])
    if fixed:
        lines += ["Bounds", *(f" {name} = 0" for name in fixed)]
    binary = [column.name for column in columns if column.upper == 1]
    if binary:
        lines += ["Binaries", *(f" {name}" for name in binary)]
    lines.append("End")
    save(path, ("\n".join(lines) + "\n").encode())


def _terms(terms: Iterable[tuple[int | float, str]]) -> list[str]:
    words = [f"{'-' if coefficient < 0 else '+'} {abs(coefficient)!r} {name}" for coefficient, name in terms]
    return ["  " + " ".join(words[k : k + _TERMS_PER_LINE]) for k in range(0, len(words), _TERMS_PER_LINE)]
