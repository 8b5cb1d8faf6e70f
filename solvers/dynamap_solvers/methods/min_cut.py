"""Method ``min-cut``: two choices per variable and tables that favour equal labels, solved by a maximum flow."""

from __future__ import annotations

import math
import time
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers._kernel.flow import max_flow
from dynamap_solvers.certificates import CutCertificate
from dynamap_solvers.methods._cut_network import CutNetwork, consistent, cut_network
from dynamap_solvers.options import Options
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.result import Solution, StopReason, infeasible, price

__all__ = ["solve_min_cut"]


def solve_min_cut(problem: SelectionProblem, options: Options) -> Solution:
    """Solve a problem with two choices per variable, left after arc consistency, and tables that fit.

    A table ``A B / C D`` fits where ``A + D <= B + C``. Where it does not, swapping the choices of one of its variables
    makes it fit; the method finds a set of variables to swap that suits all tables, if there is one. A forbidden B or C
    fits, a forbidden A or D does once swapped. Exact for integers. Float costs are rounded to multiples of ``2**-k``
    with k as large as keeps the sum of the largest magnitudes ``S`` below ``2**59`` of them: exact where all costs are
    such multiples, and else within ``(n + m) S / 2**58`` of the optimum, which is taken off the bound. The time limit
    is not looked at: the flow takes polynomial time (less than a second for a 1000 x 1000 grid, as a rule).

    Raises:
        ProblemError: if a variable has more than two choices left, or no set of swaps suits all tables; it names the
            variable, or a cycle with an odd number of tables that favour different choices.
    """
    started = time.perf_counter()
    smaller = consistent(problem)
    simplified = time.perf_counter()
    if smaller.conflict:
        nothing = np.zeros(0, np.int64)
        unlabelled = np.zeros(problem.num_variables, np.bool_)
        return infeasible(
            method="min-cut",
            reason=smaller.conflict,
            seconds={"simplify": simplified - started},
            certificate=CutCertificate(flipped=unlabelled, side=unlabelled, flow=nothing, dropped=smaller.dropped),
            seed=options.seed,
        )
    network = cut_network(problem, smaller.dropped)
    built = time.perf_counter()
    flow, side = max_flow(
        ends=network.ends, forward=network.forward, backward=network.backward, terminal=network.terminal
    )
    return price(
        problem,
        assignment=network.assignment(side),
        bound=_bound(problem, network, side),
        method="min-cut",
        stopped=StopReason.PROVED,
        seconds={
            "simplify": simplified - started,
            "build": built - simplified,
            "search": time.perf_counter() - built,
        },
        certificate=CutCertificate(
            flipped=network.flipped, side=side, flow=flow, exponent=network.exponent, dropped=smaller.dropped
        ),
        seed=options.seed,
    )


def _bound(problem: SelectionProblem, network: CutNetwork, side: NDArray[np.bool_]) -> int | float:
    """The cut, which the flow reaches, less what rounding may have changed."""
    units = network.constant + network.cut_value(side) - network.error
    if problem.is_integer:
        return units
    exact = Fraction(units) / Fraction(2) ** network.exponent
    near = float(exact)
    return near if Fraction(near) <= exact else math.nextafter(near, -math.inf)
