"""Primitive selection from profiled times: which routine for every layer, machine by machine, and how sure.

``profile.csv`` holds five timed runs of every routine of every layer of a small network, and of the layout conversions
between layers, on two machines (``make_profile.py`` made them up); ``python docs/examples/primitive_selection.py FILE``
takes a file of yours. The structure of the problem is made once; every machine and every resampling of the runs is a
set of costs for it.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dynamap_solvers import SelectionProblem, check, solve, solve_batch

SAMPLES = 2_000


class Routine(NamedTuple):
    """What a row of the file is about: a routine of a layer, or a conversion between two (``what`` is ``a>b``)."""

    what: str
    name: str
    reads: str
    writes: str


Runs = dict[str, dict[Routine, list[float]]]  # by machine


def read(path: Path) -> Runs:
    """The timed runs of every row; all machines must have timed the same."""
    timed: Runs = {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        for machine, what, name, reads, writes, *runs in rows:
            timed.setdefault(machine, {})[Routine(what, name, reads, writes)] = [float(x) for x in runs]
    return timed


class Structure:
    """The layers, their routines and the edges, and for every cost of the problem the row that gives it."""

    def __init__(self, rows: list[Routine]) -> None:
        layers = list(dict.fromkeys(row.what for row in rows if ">" not in row.what))
        pairs = list(dict.fromkeys(row.what for row in rows if ">" in row.what))
        self.layers = layers
        self.routines = [[row for row in rows if row.what == layer] for layer in layers]
        self.edges = [(layers.index(a), layers.index(b)) for a, b in (pair.split(">") for pair in pairs)]
        self.unary = [row for of in self.routines for row in of]
        self.pair = [  # None: the layouts agree, nothing to convert
            None if a.writes == b.reads else Routine(pair, "convert", a.writes, b.reads)
            for pair, (i, j) in zip(pairs, self.edges, strict=True)
            for a in self.routines[i]
            for b in self.routines[j]
        ]

    def costs(self, timed: dict[Routine, list[float]], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flat costs: the runs weighted by ``(runs,)``, or by ``(sets, runs)`` for a batch of cost sets."""
        nothing = [0.0] * weights.shape[-1]
        unary = np.array([timed[row] for row in self.unary])
        pair = np.array([nothing if row is None else timed[row] for row in self.pair])
        return weights @ unary.T, weights @ pair.T


def main() -> None:
    """For each machine the optimum of the mean times, and how often it stays the optimum under other runs."""
    timed = read(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("profile.csv"))
    first = next(iter(timed.values()))
    structure = Structure(list(first))
    count = len(next(iter(first.values())))
    mean = np.full(count, 1 / count)
    unary, pair = structure.costs(first, mean)
    problem = SelectionProblem.from_flat(
        domain_sizes=[len(of) for of in structure.routines],
        unary=unary,
        edges=structure.edges,
        pair=pair,
        names=structure.layers,
        choice_names=[[row.name for row in of] for of in structure.routines],
    )
    rng = random.Random(1)  # bootstrap: as many runs, drawn with replacement
    drawn = [[rng.randrange(count) for _ in range(count)] for _ in range(SAMPLES)]
    weights = np.array([[runs.count(k) / count for k in range(count)] for runs in drawn])
    for machine, runs in timed.items():
        unary, pair = structure.costs(runs, mean)
        here = problem.with_costs(unary=unary, pair=pair)
        solution = solve(here)
        unary, pair = structure.costs(runs, weights)
        batch = solve_batch(problem.with_costs(unary=unary, pair=pair))
        print(f"{machine}: {solution}; resampled {batch.objectives.min():,.1f} to {batch.objectives.max():,.1f}")
        same = (batch.assignments() == np.array(solution.assignment_value())).mean(axis=0)
        for (layer, routine), share in zip(here.named(solution.assignment_value()).items(), same, strict=True):
            print(f"  {layer}  {routine:<9} in {share:6.1%} of {SAMPLES:,} resamplings")
        check(here, solution)
        for k in range(0, SAMPLES, 400):  # an integer program agrees on some of the batch
            proved = solve(batch.problem.instance(k), method="highs")
            assert proved.status == "optimal"
            assert np.isclose(proved.objective_value(), batch.objectives[k], rtol=1e-9)
    print("checked: the certificates, and ten cost sets by an integer program")


if __name__ == "__main__":
    main()
