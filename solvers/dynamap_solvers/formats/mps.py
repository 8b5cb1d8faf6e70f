"""Free MPS files, written only: the problem as an integer program for any solver of such, see ``_polytope``."""

from __future__ import annotations

import os

from dynamap_solvers.formats._files import save
from dynamap_solvers.formats._polytope import program
from dynamap_solvers.formats._words import escape
from dynamap_solvers.problem import SelectionProblem

__all__ = ["write_mps"]


def write_mps(problem: SelectionProblem, path: str | os.PathLike[str]) -> None:
    """Write one cost set as an integer program, usage limit, fixed choices and ties included.

    The optimum of the file is the objective of the problem; ``x_i_a`` is 1 where variable i takes choice a. Comments
    say which variable is which. All digits are written; solvers round integers of 2**53 or more.

    Raises:
        ProblemError: if the problem is a batch.
        OSError: if the file cannot be written.
    """
    model = program(problem, "An MPS file")
    entries: list[list[tuple[str, int | float]]] = [[("obj", column.cost)] for column in model.columns]
    for row in model.rows:
        for coefficient, c in row.terms:
            entries[c].append((row.name, coefficient))
    lines = [f"* x_{i}: {escape(name)}" for i, name in enumerate(problem.names)]
    lines += [f"NAME {escape(problem.name)}", "ROWS", " N obj"]
    lines += [f" {'L' if row.at_most else 'E'} {row.name}" for row in model.rows]
    lines.append("COLUMNS")
    whole = False
    for column, own in zip(model.columns, entries, strict=True):
        if (column.upper == 1) != whole:
            whole = not whole
            lines.append(f" marker 'MARKER' 'INT{'ORG' if whole else 'END'}'")
        lines += [f" {column.name} {name} {value!r}" for name, value in own]
    if whole:
        lines.append(" marker 'MARKER' 'INTEND'")
    lines.append("RHS")
    lines += [f" rhs {row.name} {row.right}" for row in model.rows if row.right]
    lines.append("BOUNDS")
    lines += [f" UP bound {column.name} {column.upper}" for column in model.columns if column.upper is not None]
    lines.append("ENDATA")
    save(path, ("\n".join(lines) + "\n").encode())
