"""What a solution prints: status, method, and what is missing to a proof."""

from __future__ import annotations

import numpy as np
import pytest

from dynamap_solvers import SelectionProblem, SolverError, StopReason, infeasible, price

INTEGER = SelectionProblem(unary=(np.array([4_000, 3_000]),))
FLOAT = SelectionProblem(unary=(np.array([4.0, 2 / 3]),))


def outcome(problem=INTEGER, **changes):
    given = {"assignment": (0,), "bound": None, "method": "highs", "stopped": StopReason.TIME_LIMIT, "seconds": {}}
    return price(problem, **{**given, **changes})


@pytest.mark.parametrize(
    ("solution", "text"),
    [
        (outcome(assignment=(1,), bound=3_000), "optimal by highs: objective 3,000"),
        (outcome(FLOAT, assignment=(1,), bound=2 / 3), "optimal by highs: objective 0.666667"),
        (outcome(bound=3_000), "feasible by highs: objective 4,000, bound 3,000, gap 25.00%, stopped by time-limit"),
        (outcome(), "feasible by highs: objective 4,000, stopped by time-limit"),
        (
            outcome(assignment=None, bound=-7, stopped=StopReason.MEMORY_LIMIT, reason="Too wide."),
            "unknown by highs: bound -7, stopped by memory-limit. Too wide.",
        ),
        (infeasible(method="auto", reason="Nothing is left.", seconds={}), "infeasible by auto: Nothing is left."),
    ],
)
def test_a_solution_prints_as_one_line(solution, text):
    assert str(solution) == text


def test_values_that_are_not_there_are_not_given():
    assert (outcome().objective_value(), outcome().assignment_value()) == (4_000, (0,))
    nothing = outcome(assignment=None, reason="Too wide.")
    with pytest.raises(SolverError, match="There is no assignment: the status is unknown"):
        nothing.assignment_value()
