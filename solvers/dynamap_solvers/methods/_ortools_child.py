"""The process of :mod:`dynamap_solvers.methods.ortools`: reads a document, solves, writes the answer.

Run as a script; imports nothing of this package. Says incumbents and bounds, a JSON object a line, on standard output.
Arguments: the document, and where to write the answer.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from pathlib import Path
from typing import Any


def main(asked: str, done: str) -> None:
    """Solve the document in the file ``asked`` and write the answer to the file ``done``."""
    document = json.loads(Path(asked).read_text())
    sys.path[:] = document["path"]
    from ortools.sat.python import cp_model  # noqa: PLC0415  # only now is the path right

    started = time.perf_counter()
    model, choices = _model(cp_model, document)
    starts = document["starts"]
    built = time.perf_counter()

    def picked(value: Any) -> list[int]:
        taken = [index for index, choice in enumerate(choices) if value(choice)]
        return [index - start for index, start in zip(taken, starts[:-1], strict=True)]

    class Found(cp_model.CpSolverSolutionCallback):  # type: ignore[misc]  # it ships no types
        def on_solution_callback(self) -> None:
            _say({"picked": picked(self.boolean_value), "value": round(self.objective_value)})

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = document["threads"]
    solver.parameters.random_seed = document["seed"]
    solver.parameters.linearization_level = 2
    if document["time_limit"] is not None:
        solver.parameters.max_time_in_seconds = document["time_limit"]
    solver.best_bound_callback = lambda bound: _say({"bound": _whole(bound)})
    status = solver.status_name(solver.solve(model, Found()))
    bound = solver.best_objective_bound
    answer = {
        "status": status,
        "picked": picked(solver.boolean_value) if status in {"OPTIMAL", "FEASIBLE"} else None,
        "bound": _whole(bound) if math.isfinite(bound) else None,
        "nodes": int(solver.num_branches),
        "build": built - started,
        "search": time.perf_counter() - built,
    }
    # Whole or not at all: the parent may end this process at any time.
    part = Path(done + ".part")
    part.write_text(json.dumps(answer))
    part.replace(done)


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _whole(bound: float) -> int:
    """The bound of an integer objective, which is not negative."""
    return max(math.ceil(bound - 1e-6), 0)


def _model(cp_model: Any, document: dict[str, Any]) -> tuple[Any, list[Any]]:
    model = cp_model.CpModel()
    unary, cells, starts = document["unary"], document["cells"], document["starts"]
    choices = [model.new_bool_var("") for _ in unary]
    pairs = [model.new_bool_var("") for _ in cells]
    for a, b in itertools.pairwise(starts):
        model.add_exactly_one(choices[a:b])
    for lines in document["lines"]:
        members: list[list[Any]] = [[] for _ in lines["choice"]]
        for pair, line in zip(pairs, lines["of_cell"], strict=True):
            members[line].append(pair)
        for line, choice in zip(members, lines["choice"], strict=True):
            # Exactly one of the pairs if the choice is taken, none if not.
            model.add_exactly_one([*line, ~choices[choice]])
    weighted = cp_model.LinearExpr.weighted_sum
    for limit in document["limits"]:
        model.add(weighted([choices[c] for c in limit["choices"]], limit["used"]) <= limit["room"])
    model.minimize(weighted([*choices, *pairs], [*unary, *cells]))
    if document["warm"] is not None:
        for a, b, own in zip(starts[:-1], starts[1:], document["warm"], strict=True):
            for index in range(a, b):
                model.add_hint(choices[index], int(index - a == own))  # a number: it takes no bool
    return model, choices


if __name__ == "__main__":
    main(*sys.argv[1:])
