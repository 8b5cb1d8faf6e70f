"""What a selection problem accepts, and the sentence for each thing it does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dynamap_solvers import FORBIDDEN, ProblemError, SelectionProblem

TWO = (np.array([1, 2]), np.array([3, 4, 5]))
TABLE = np.zeros((2, 3), np.int64)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"unary": (np.array([], np.int64),)}, "Variable 'x0' has no choices"),
        ({"unary": (np.array([1.0, math.nan]),)}, "variable 'x0' is NaN or negative infinity"),
        ({"unary": (np.array([1.0, -math.inf]),)}, "variable 'x0' is NaN or negative infinity"),
        ({"unary": (np.array([1, 2]), np.array([1.0]))}, "give int64 throughout or float64 throughout"),
        ({"unary": (np.array(["a"]),)}, "variable 'x0' have dtype <U1"),
        ({"unary": ([[1], [2, 3]],)}, "variable 'x0' are not an array of numbers"),
        ({"unary": (np.zeros((2, 2, 2), np.int64),)}, "variable 'x0' have shape"),
        ({"unary": (np.array([2**60]),)}, r"variable 'x0' is 2\*\*60 or more"),
        ({"unary": (np.array([2**59]), np.array([-(2**59)]))}, r"add up to 1152921504606846976, which is 2\*\*60"),
        ({"unary": TWO, "names": ("a", "a")}, "Two variables are called 'a'"),
        ({"unary": TWO, "names": ("a",)}, "There are 1 names for 2 variables"),
        ({"unary": TWO, "choice_names": (("p", "q"), ("r",))}, "Variable 'x1' has 3 choices but 1 choice names"),
        ({"unary": TWO, "edges": ((0, 0),), "pair": (TABLE,)}, "Edge 0 joins variable 0 to itself"),
        ({"unary": TWO, "edges": ((0, 2),), "pair": (TABLE,)}, "Edge 0 names variable 2; there are 2"),
        ({"unary": TWO, "edges": ((0, -1),), "pair": (TABLE,)}, "Edge 0 names variable -1"),
        ({"unary": TWO, "edges": ((0, 1),)}, "There are 1 edges but 0 pair tables"),
        ({"unary": TWO, "edges": ((1, 0),), "pair": (TABLE,)}, r"edge 0 \('x1'-'x0'\) has shape \(2, 3\)"),
        (
            {"unary": (np.zeros((2, 2), np.int64), np.zeros((3, 3), np.int64))},
            "The batch axis of variable 'x1' has length 3, not 2, that of variable 'x0'",
        ),
        ({"unary": (np.zeros((0, 2), np.int64),)}, "The batch axis of variable 'x0' is empty"),
        ({"unary": TWO, "usage_limit": 3}, "without usages"),
        ({"unary": TWO, "usage": (np.array([1, 1]),), "intervals": ()}, "There are 1 usages and 0 intervals"),
        (
            {"unary": (np.array([0]),), "usage": (np.array([1]),), "intervals": ((3, 1),)},
            r"interval of variable 'x0' is reversed: \(3, 1\)",
        ),
        ({"unary": (np.array([0]),), "usage": (np.array([-1]),), "intervals": ((0, 1),)}, "is negative"),
        ({"unary": (np.array([0]),), "usage": (np.array([0.5]),), "intervals": ((0, 1),)}, "must be 1 integers"),
        (
            {"unary": (np.array([0]),), "usage": (np.array([1]),), "intervals": ((0, 1),), "usage_limit": -1},
            "The usage limit is -1",
        ),
    ],
)
def test_a_broken_rule_is_one_sentence_naming_the_thing(arguments, sentence):
    with pytest.raises(ProblemError, match=sentence):
        SelectionProblem(**arguments)


def test_costs_just_below_the_limit_are_accepted_and_one_more_is_not():
    SelectionProblem(unary=(np.array([2**59]), np.array([2**59 - 1])))
    with pytest.raises(ProblemError):
        SelectionProblem(unary=(np.array([2**59]), np.array([2**59])))


def test_the_price_of_an_assignment_is_a_python_integer_and_marks_what_is_not_allowed():
    problem = SelectionProblem(
        unary=TWO,
        edges=((0, 1), (1, 0)),
        pair=(np.array([[10, 20, FORBIDDEN], [0, 0, 0]]), np.array([[1, 2], [3, 4], [5, 6]])),
        usage=(np.array([4, 1]), np.array([1, 2, 3])),
        intervals=((0, 5), (4, 9)),
        usage_limit=5,
    )
    assert problem.evaluate((0, 0)) == 1 + 3 + 10 + 1
    assert type(problem.evaluate(np.array([0, 0]))) is int
    assert problem.evaluate((0, 2)) == FORBIDDEN
    assert problem.evaluate((0, 1)) == FORBIDDEN  # 4 + 2 used at time 4
    assert problem.evaluate((1, 1)) == 2 + 4 + 0 + 4
    assert not problem.is_feasible((0, 1))


def test_half_open_intervals_that_touch_do_not_overlap():
    problem = SelectionProblem(
        unary=(np.array([0]), np.array([0]), np.array([0])),
        usage=(np.array([3]), np.array([3]), np.array([9])),
        intervals=((0, 5), (5, 9), (2, 2)),
        usage_limit=3,
    )
    assert problem.peak_usage((0, 0, 0)) == 3
    assert problem.usage_over_time((0, 0, 0)) == ((0, 3), (5, 3), (9, 0))
    assert list(problem.live_sets()) == [(0,), (1,)]


def test_usage_over_time_adds_up_whoever_is_alive_and_is_empty_without_a_resource():
    problem = SelectionProblem(
        unary=TWO, usage=(np.array([5, 1]), np.array([2, 7, 0])), intervals=((-2, 4), (1, 6)), usage_limit=9
    )
    assert problem.usage_over_time((0, 1)) == ((-2, 5), (1, 12), (4, 7), (6, 0))
    assert problem.usage_over_time((1, 0)) == ((-2, 1), (1, 3), (4, 2), (6, 0))
    assert (problem.peak_usage((0, 1)), problem.peak_usage((1, 0))) == (12, 3)
    assert SelectionProblem(unary=TWO).usage_over_time((0, 0)) == ()
    with pytest.raises(ProblemError, match="'x1' has no choice 3"):
        problem.usage_over_time((0, 3))


def test_the_limit_goes_with_the_usage():
    problem = SelectionProblem(
        unary=TWO, usage=(np.array([5, 1]), np.array([2, 7, 0])), intervals=((0, 4), (1, 6)), usage_limit=3
    )
    free = problem.replace(usage=None)
    assert (free.usage, free.intervals, free.usage_limit) == (None, (), 0)
    assert (problem.evaluate((0, 0)), free.evaluate((0, 0))) == (FORBIDDEN, 4)
    assert problem.replace(usage_limit=8).evaluate((0, 0)) == 4
    with pytest.raises(ProblemError):
        problem.replace(usage=None, intervals=((0, 4), (1, 6)))


def test_an_assignment_in_words():
    named = SelectionProblem(
        unary=TWO, names=("conv", "pool"), choice_names=(("nchw", "nhwc"), ("max", "mean", "none"))
    )
    assert named.named((1, 0)) == {"conv": "nhwc", "pool": "max"}
    assert SelectionProblem(unary=TWO).named((1, 0)) == {"x0": "1", "x1": "0"}
    with pytest.raises(ProblemError, match="1 entries for 2 variables"):
        named.named((1,))


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [((0,), "1 entries for 2 variables"), ((0, 3), "'x1' has no choice 3"), ((-1, 0), "'x0' has no choice -1")],
)
def test_an_assignment_that_does_not_fit_is_refused(assignment, sentence):
    with pytest.raises(ProblemError, match=sentence):
        SelectionProblem(unary=TWO).evaluate(assignment)


def test_instances_of_a_batch_share_what_has_no_batch_axis():
    problem = SelectionProblem(
        unary=(np.arange(6).reshape(3, 2), np.array([3, 4, 5])), edges=((0, 1),), pair=(np.arange(18).reshape(3, 2, 3),)
    )
    assert problem.batch_size == 3
    assert problem.domain_sizes == (2, 3)
    assert problem.instance(2).evaluate((1, 0)) == 5 + 3 + 15
    with pytest.raises(ProblemError, match="batch"):
        problem.evaluate((0, 0))
    with pytest.raises(ProblemError, match="Cost set 3 does not exist"):
        problem.instance(3)


def test_the_arrays_of_a_problem_cannot_be_written_through_it():
    problem = SelectionProblem(unary=TWO)
    with pytest.raises(ValueError, match="read-only"):
        problem.unary[0][0] = 7


def test_the_graph_carries_names_and_joins_parallel_edges():
    problem = SelectionProblem(unary=TWO, edges=((0, 1), (1, 0)), pair=(TABLE, TABLE.T), names=("conv", "relu"))
    graph = problem.graph()
    assert graph.nodes[1] == {"name": "relu", "choices": 3}
    assert list(graph.edges) == [(0, 1)]
