"""Reduction certificates: a sequence of R0, RI, RII and parallel reductions that ends with nothing.

The verifier replays the sequence on the graph, checking that each step is legal when it happens, and recomputes the
objective in plain Python integers (of a small unit for float problems, so that no rounding is trusted either).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dynamap_solvers._rules import Reduction
from dynamap_solvers.certificates._exact import Cells, ExactProblem, compare, read_exact
from dynamap_solvers.errors import CertificateError, ProblemError
from dynamap_solvers.problem import SelectionProblem
from dynamap_solvers.series_parallel import ReductionPlan

__all__ = ["ReductionCertificate", "check_reduction"]

_Exact = int | None  # in units of the problem's scale; None is a forbidden cell
_DEGREE = {"R0": 0, "RI": 1, "RII": 2}


@dataclass(frozen=True)
class ReductionCertificate:
    """Why an objective is the least: choices nobody can take are struck out, then the graph reduces to nothing.

    Attributes:
        dropped: ``(variable, choice)`` in the order they were struck out; each is forbidden by itself, or together with
            every choice still left to some neighbour.
        plan: the reductions of the graph, with the choices that are left.
    """

    plan: ReductionPlan
    dropped: tuple[tuple[int, int], ...] = ()


def check_reduction(
    problem: SelectionProblem,
    certificate: ReductionCertificate | ReductionPlan,
    *,
    bound: float | None,
) -> None:
    """Check that a certificate proves that no assignment of a problem costs less than ``bound``.

    Takes ``O((n + m) d^3)`` in plain Python: slow on purpose, to be read rather than trusted.

    Args:
        problem: one cost set, without a resource (a batch is checked with ``problem.instance(k)``).
        certificate: the sequence of reductions, alone or with the choices struck out before.
        bound: the claimed optimum, an int for integer problems; None claims that no assignment is allowed.
            Float claims are checked to 1e-9, relative to the sum of magnitudes.

    Raises:
        CertificateError: naming the first step that is not legal, or both values if the optimum is another.
        ProblemError: if the problem is a batch or has a resource limit.
    """
    if problem.is_batched or problem.usage is not None:
        raise ProblemError(
            "A reduction proves nothing about a batch or a resource limit; take instance(k), without usage."
        )
    if isinstance(certificate, ReductionPlan):
        certificate = ReductionCertificate(certificate)
    plan = certificate.plan
    exact = read_exact(problem)
    if plan.num_variables != len(exact.unary) or list(plan.edges) != exact.edges:
        raise CertificateError("The certificate is of another graph: its variables or edges differ from the problem's.")
    replay = _Replay(exact, certificate.dropped)
    for number, step in enumerate(plan.steps):
        replay.apply(number, step)
    if replay.alive:
        raise CertificateError(
            f"The sequence ends with {len(replay.alive)} variables left, among them {min(replay.alive)}."
        )
    optimum = None if replay.total is None else exact.value(replay.total)
    compare(exact, bound, optimum, what="the reductions end with", exact=True)


class _Replay:
    """The graph and its exact costs while the sequence is replayed."""

    def __init__(self, problem: ExactProblem, dropped: Sequence[tuple[int, int]]) -> None:
        self.unary = [_listed(problem, costs) for costs in problem.unary]
        self.tables: dict[int, tuple[int, int, list[list[_Exact]]]] = {
            t: (i, j, [_listed(problem, row) for row in table])
            for t, ((i, j), table) in enumerate(zip(problem.edges, problem.pair, strict=True))
        }
        self.choices = [list(range(len(costs))) for costs in self.unary]
        self.incident: list[set[int]] = [set() for _ in self.unary]
        for t, (i, j, _) in self.tables.items():
            self.incident[i].add(t)
            self.incident[j].add(t)
        self.alive = set(range(len(self.unary)))
        self.next_table = len(self.tables)
        self.total: _Exact = 0
        for variable, choice in dropped:
            self.drop(variable, choice)

    def drop(self, variable: int, choice: int) -> None:
        label = f"Choice {choice} of variable {variable}"
        if variable not in self.alive or choice not in self.choices[variable]:
            raise CertificateError(f"{label} is struck out, but it does not exist or went before.")
        alone = self.unary[variable][choice] is None
        if not alone and not any(
            all(self.cell(t, variable, choice, y) is None for y in self.choices[self.other_end(t, variable)])
            for t in self.incident[variable]
        ):
            raise CertificateError(f"{label} is struck out, but it is not forbidden.")
        self.choices[variable].remove(choice)

    def other_end(self, table: int, vertex: int) -> int:
        i, j, _ = self.tables[table]
        return j if i == vertex else i

    def cell(self, table: int, vertex: int, x: int, y: int) -> _Exact:
        """The cost of a table where ``vertex`` takes x and its other end y."""
        i, _, cells = self.tables[table]
        return cells[x][y] if i == vertex else cells[y][x]

    def apply(self, number: int, step: Reduction) -> None:
        """Check one step and carry it out."""
        label = f"Step {number} ({step.rule} of variable {step.vertex})"
        if any(t not in self.tables for t in step.tables) or len(set(step.tables)) != len(step.tables):
            raise CertificateError(f"{label} takes a table that is not there.")
        if step.rule == "parallel":
            self.merge(label, step)
            return
        i = step.vertex
        if i not in self.alive:
            raise CertificateError(f"{label} takes a variable that left before or never was.")
        if set(step.tables) != self.incident[i]:
            raise CertificateError(
                f"{label} takes {len(step.tables)} tables, but the variable has {len(self.incident[i])}."
            )
        if tuple(self.other_end(t, i) for t in step.tables) != step.neighbours:
            raise CertificateError(f"{label} names neighbours {step.neighbours}, which its tables do not lead to.")
        if step.rule == "fixed":
            if len(self.choices[i]) != 1:
                raise CertificateError(
                    f"{label} needs a variable with one choice, and {len(self.choices[i])} are left."
                )
        elif _DEGREE.get(step.rule) != len(step.tables) or len(set(step.neighbours)) != len(step.neighbours):
            raise CertificateError(f"{label} is not allowed at a variable with {len(step.tables)} tables.")
        if step.rule == "RII":
            j, k = step.neighbours
            self.produce(
                label, step, [[self.through(i, step.tables, (y, z)) for z in self.all(k)] for y in self.all(j)]
            )
        elif step.tables:
            # RI, and a fixed variable with any number of neighbours: its own cost goes to the first of them.
            for place, (t, j) in enumerate(zip(step.tables, step.neighbours, strict=True)):
                for y in self.all(j):
                    gain = self.through(i, (t,), (y,), own=place == 0)
                    self.unary[j][y] = _plus(self.unary[j][y], gain)
        else:
            self.total = _plus(self.total, self.through(i, (), ()))
        for t in step.tables:
            self.remove(t)
        self.alive.discard(i)

    def all(self, variable: int) -> range:
        return range(len(self.unary[variable]))

    def through(self, vertex: int, tables: Sequence[int], seen: Sequence[int], *, own: bool = True) -> _Exact:
        """The least cost of a vertex and its tables, given the choices at the other ends."""
        best: _Exact = None
        for x in self.choices[vertex]:
            cost: _Exact = self.unary[vertex][x] if own else 0
            for t, y in zip(tables, seen, strict=True):
                cost = _plus(cost, self.cell(t, vertex, x, y))
            if cost is not None and (best is None or cost < best):
                best = cost
        return best

    def merge(self, label: str, step: Reduction) -> None:
        if step.vertex != -1 or len(step.tables) != 2 or len(step.neighbours) != 2:
            raise CertificateError(f"{label} must name two tables, two ends and no variable.")
        first, second = step.tables
        i, j = step.neighbours
        if any({*self.tables[t][:2]} != {i, j} for t in step.tables):
            raise CertificateError(f"{label} merges tables that are not between variables {i} and {j}.")
        cells = [
            [_plus(self.cell(first, i, x, y), self.cell(second, i, x, y)) for y in self.all(j)] for x in self.all(i)
        ]
        self.produce(label, step, cells)
        self.remove(first)
        self.remove(second)

    def produce(self, label: str, step: Reduction, cells: list[list[_Exact]]) -> None:
        if step.produced != self.next_table:
            raise CertificateError(f"{label} numbers its table {step.produced}; the next one is {self.next_table}.")
        i, j = step.neighbours
        self.tables[self.next_table] = (i, j, cells)
        self.incident[i].add(self.next_table)
        self.incident[j].add(self.next_table)
        self.next_table += 1

    def remove(self, table: int) -> None:
        i, j, _ = self.tables.pop(table)
        self.incident[i].discard(table)
        self.incident[j].discard(table)


def _plus(left: _Exact, right: _Exact) -> _Exact:
    return None if left is None or right is None else left + right


def _listed(problem: ExactProblem, cells: Cells) -> list[_Exact]:
    return [cell if cell < problem.top // 2 else None for cell in cells.tolist()]
