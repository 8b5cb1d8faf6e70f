"""``dynamap map``: the main job."""

from __future__ import annotations

import argparse
import csv
import io
from collections import defaultdict
from typing import Any

from dynamap_opt import api
from dynamap_opt.errors import DynamapError
from dynamap_opt.explanation import mapper_of
from dynamap_opt.plan import LayerPlan, Plan, write_text
from dynamap_solvers import write_iopddl

from .options import add_json, add_mapping, add_model, input_shapes
from .output import Output, Progress, counted, integer, percent, seconds, table

__all__ = ["add_commands", "plan_csv"]

_COLUMNS = ("layer", "operation", "in", "out", "algorithm", "flow", "stored as", "cycles", "utilization", "bound by")
# Narrower terminals do without the shapes.
_ROOMY = 145


def add_commands(commands: Any) -> None:
    """Add ``map`` to the parser."""
    parser = commands.add_parser("map", help="find the array and the mapping of least latency, with proof")
    add_model(parser)
    add_mapping(parser)
    parser.add_argument("--export-problem", metavar="F", help="write the selection problem as IOPDDL JSON")
    parser.add_argument("--csv", metavar="F", help="write the layers as a table for spreadsheets")
    add_json(parser)
    parser.set_defaults(run=_map)


def _map(options: argparse.Namespace) -> int:
    output = Output(options.json)
    with Progress("exploring array shapes") as progress:
        plan = api.map(
            options.model,
            options.board,
            array=options.array,
            algorithms=options.algorithms,
            dataflows=options.dataflows,
            cost=options.cost,
            method=options.method,
            input_shapes=input_shapes(options),
            allow_host=options.allow_host,
            macs_per_dsp=options.macs_per_dsp,
            time_limit=options.time_limit,
            threads=options.threads,
            progress=progress,
        )
    if output.speaks:
        _print(output, plan)
    if options.csv:
        write_text(options.csv, plan_csv(plan))
    if options.export_problem:
        network = api.load_model(options.model, input_shapes=input_shapes(options) or None)
        problem = mapper_of(plan, network).decision(*plan.array).problem
        try:
            write_iopddl(problem, options.export_problem)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise DynamapError(f"cannot write {options.export_problem!r}: {reason.lower()}") from None
    output.json("plan", plan.as_dict())
    return 0 if plan.status == "optimal" else 1


def _print(output: Output, plan: Plan) -> None:
    columns = list(_COLUMNS)
    if output.console.width < _ROOMY:
        columns = [column for column in columns if column not in {"in", "out"}]
    total = {
        "layer": "total",
        "cycles": integer(plan.latency_cycles),
        "utilization": percent(_utilization(plan)),
    }
    rows = [*map(_row, plan.layers), total]
    sides = [(column, "right" if column in {"cycles", "utilization"} else "left") for column in columns]
    output.print(table(sides, [[row.get(column, "") for column in columns] for row in rows], footer=True))
    board = plan.board
    elements, available = plan.array[0] * plan.array[1], int(board["array_dsp"]) * plan.settings.macs_per_dsp
    output.print(
        f"{plan.model.name} on {board['name']}: {seconds(plan.latency_s)} at {float(board['clock_hz']) / 1e6:.0f} MHz "
        f"({integer(plan.latency_cycles)} cycles), array {plan.array[0]}x{plan.array[1]} = {integer(elements)} of "
        f"{integer(available)} elements"
    )
    shares: dict[str, int] = defaultdict(int)
    for layer in plan.layers:
        shares[layer.algorithm] += layer.cycles
    parts = sorted(shares.items(), key=lambda item: -item[1])
    output.print("cycles by algorithm: " + ", ".join(f"{n} {percent(c / plan.latency_cycles)}" for n, c in parts if c))
    output.print(_claim(plan))
    if plan.next_best:
        others = ", ".join(
            f"{r.array[0]}x{r.array[1]} (+{percent(r.latency_cycles / plan.latency_cycles - 1)})"
            for r in plan.next_best
        )
        output.print(f"next-best arrays: {others}")
    if plan.host_operators:
        output.print(f"left to the host at zero cycles: {', '.join(plan.host_operators)}")


def _claim(plan: Plan) -> str:
    proof = plan.proof
    if plan.status != "optimal":
        return (
            f"NOT proved optimal ({proof.stop_reason}): the mapping of this array is at best "
            f"{integer(plan.lower_bound_cycles)} cycles"
        )
    scope = (
        f"over all {integer(plan.shapes_explored)} arrays the board can hold ({proof.exploration})"
        if plan.settings.array is None
        else "on this array"
    )
    return (
        f"proved optimal {scope}; mapping by {proof.method}: {counted(proof.variables, 'variable')}, "
        f"{counted(proof.edges, 'edge')}, bound {integer(plan.lower_bound_cycles)} cycles; "
        f"cost preset {plan.settings.cost}"
    )


def _utilization(plan: Plan) -> float:
    worked = sum(layer.utilization * layer.cycles for layer in plan.layers)
    return worked / plan.latency_cycles if plan.latency_cycles else 0.0


def _row(layer: LayerPlan) -> dict[str, str]:
    return {
        "layer": layer.name,
        "operation": layer.operation,
        "in": "x".join(map(str, layer.input_shape)),
        "out": "x".join(map(str, layer.output_shape)),
        "algorithm": layer.algorithm,
        "flow": layer.dataflow or "",
        "stored as": layer.output_layout,
        "cycles": integer(layer.cycles),
        "utilization": percent(layer.utilization) if layer.dataflow else "",
        "bound by": layer.bound_by if layer.cycles else "",
    }


def plan_csv(plan: Plan) -> str:
    """The layers of a plan as comma-separated values, one row each, with a heading."""
    text = io.StringIO()
    writer = csv.writer(text)
    fields = LayerPlan.__struct_fields__
    writer.writerow(fields)
    for layer in plan.layers:
        cells = []
        for field in fields:
            value = getattr(layer, field)
            if isinstance(value, tuple):
                value = "x".join(map(str, value))
            cells.append("" if value is None else value)
        writer.writerow(cells)
    return text.getvalue()
