"""Rows of a benchmark, the file they are kept in, and the check that they do not contradict one another."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.result import FLOAT_GAP

__all__ = ["GAVE_UP", "ResultFile", "Row", "disagreements"]

GAVE_UP = frozenset({"time-limit", "killed", "memory-limit", "crashed"})
"""Reasons to stop after which a larger instance of the same family is not worth trying."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on one instance.

    Attributes:
        instance: its name.
        family: of instances that differ in size only.
        variables: how many.
        edges: how many.
        max_choices: the most choices of a variable.
        treewidth_upper_bound: by construction or by an elimination order; None where that took too long.
        method: the contestant's name.
        status: ``optimal``, ``feasible``, ``infeasible``, ``unknown``; ``refused`` where the method does not take the
            problem, ``skipped`` where it was not tried, ``reference`` for what only measures.
        stop_reason: why it stopped: those of :class:`StopReason`, or ``killed``, ``crashed``, ``memory-limit``,
            ``refused``, ``skipped``, ``measured``.
        objective: of the best assignment, priced by shared code; for a batch the sum of its first optima.
        bound: proved, or None.
        build_seconds: median over the repetitions; of a batch, of all cost sets done.
        solve_seconds: likewise.
        total_seconds: least and most of both together.
        runs: repetitions.
        cost_sets: how many the times are for: 1, or those of a batch that were done.
        peak_bytes: the most the process had resident while it ran, the problem included.
        base_bytes: resident before it ran.
        import_seconds: loading the method's packages.
        first_call_seconds: the first solve in the process, of a problem of two variables.
        solved_by: the method that ``auto`` chose.
        reason: one sentence where nothing was proved.
    """

    instance: str
    family: str
    variables: int | None = None
    edges: int | None = None
    max_choices: int | None = None
    treewidth_upper_bound: int | None = None
    method: str
    status: str
    stop_reason: str
    objective: int | float | None = None
    bound: int | float | None = None
    build_seconds: float | None = None
    solve_seconds: float | None = None
    total_seconds: tuple[float, float] | None = None
    runs: int = 0
    cost_sets: int = 1
    peak_bytes: int | None = None
    base_bytes: int | None = None
    import_seconds: float | None = None
    first_call_seconds: float | None = None
    solved_by: str = ""
    reason: str = ""

    @property
    def seconds(self) -> float | None:
        """Building and solving together."""
        if self.build_seconds is None or self.solve_seconds is None:
            return None
        return self.build_seconds + self.solve_seconds

    @property
    def seconds_per_cost_set(self) -> float | None:
        """The same for one cost set of a batch."""
        return None if self.seconds is None else self.seconds / self.cost_sets

    @property
    def proved(self) -> bool:
        """Whether it claims that nothing is left to show."""
        return self.status in {"optimal", "infeasible"}

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Row:
        """The inverse of :meth:`as_dict`; keys of later versions are ignored."""
        known = {f.name for f in fields(cls)}
        row = {key: value for key, value in values.items() if key in known}
        if row.get("total_seconds") is not None:
            row["total_seconds"] = tuple(row["total_seconds"])
        return cls(**row)


class ResultFile:
    """Rows by key, one JSON line each, appended whole; what an interrupt cut off is not believed.

    Raises:
        ProblemError: if the file cannot be read or written, or is something else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._rows: dict[str, Row] = {}
        self._ends_in_a_line = True
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise ProblemError(
                f"The results {str(path)!r} cannot be read: {(error.strerror or '').lower()}."
            ) from error
        lines = data.split(b"\n")
        self._ends_in_a_line = not lines[-1]
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                self._rows[str(entry["key"])] = Row.from_dict(entry["row"])
            except (ValueError, KeyError, TypeError) as error:
                # A later run goes on with a new line after one that was cut off, so it need not be the last.
                if number == 1 and len(lines) > 1:
                    raise ProblemError(
                        f"{str(path)!r} does not hold benchmark results (line 1); give another file for --results."
                    ) from error

    def get(self, key: str) -> Row | None:
        """The row of a key, None if there is none yet."""
        return self._rows.get(key)

    def add(self, key: str, row: Row) -> None:
        """Keep a row, on the disk before this returns."""
        line = json.dumps({"key": key, "row": row.as_dict()}, allow_nan=False).encode() + b"\n"
        if not self._ends_in_a_line:
            line = b"\n" + line
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(handle, line)  # one call: the line is there or it is not
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise ProblemError(f"The results {str(self._path)!r} cannot be written: {reason}.") from error
        self._ends_in_a_line = True
        self._rows[key] = row


def disagreements(rows: Iterable[Row]) -> tuple[str, ...]:
    """Sentences on rows that cannot all be true: each names the instance, two methods and what they claim.

    On one instance no proved bound may be above the price of an assignment that is known, whoever found it; and where
    one method proved that there is none, none may be known. Equality of all proved optima follows.
    """
    by_instance: dict[str, list[Row]] = {}
    for row in rows:
        by_instance.setdefault(row.instance, []).append(row)
    found = []
    for instance, group in by_instance.items():
        priced = [row for row in group if row.objective is not None]
        best = min(priced, key=_objective, default=None)
        if best is None:
            continue
        price = _objective(best)
        slack = 0 if isinstance(price, int) else FLOAT_GAP * max(1.0, abs(price)) * 10
        for row in group:
            if row.status == "infeasible":
                found.append(
                    f"{instance}: {row.method} says that no assignment is allowed, {best.method} found one of {price}."
                )
            elif row.bound is not None and math.isfinite(row.bound) and row.bound > price + slack:
                claim = f"the optimum {row.objective}" if row.status == "optimal" else f"the bound {row.bound}"
                found.append(f"{instance}: {row.method} claims {claim}, but {best.method} found {price}.")
    return tuple(found)


def _objective(row: Row) -> int | float:
    assert row.objective is not None
    return row.objective
