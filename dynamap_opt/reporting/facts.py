"""What a report says of one plan, as plain values that become JSON in the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from dynamap_opt.errors import DynamapError
from dynamap_opt.explanation import LayerExplanation
from dynamap_opt.exploration import Exploration
from dynamap_opt.front import front_of
from dynamap_opt.mapper import Mapper
from dynamap_opt.overlays import dram_bytes_per_cycle
from dynamap_opt.plan import LayerPlan, Plan
from dynamap_opt.program import Stage
from dynamap_solvers import SolverError, Status, solve

from .style import family_of

__all__ = ["alternative_rows", "board_sweep", "layer_rows", "proof_rows", "shape_facts", "shares"]

# Alternatives of a layer that a page shows, best first.
_ALTERNATIVES = 8
# Of the board's bandwidth and block RAM.
_FACTORS = (0.125, 0.25, 0.5, 1, 2)


def layer_rows(plan: Plan, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """A row for every stage, in the order they run: what the plan says, when it begins, and its place in the roofline.

    ``intensity`` is direct multiply-accumulates per byte through the busier memory port, if every element is read and
    written once: the read port carries input and weights, the write port the output. ``rate`` is direct
    multiply-accumulates per cycle; Winograd does fewer than these, so that it may exceed the array's elements.
    """
    rows = []
    start = 0
    for number, (row, stage) in enumerate(zip(plan.layers, stages, strict=True)):
        family = family_of(row.algorithm)
        rows.append(
            {
                "n": number + 1,
                "name": row.name,
                "operation": row.operation,
                "in": _size(row.input_shape),
                "out": _size(row.output_shape),
                "algorithm": row.algorithm,
                "family": family.label,
                "flow": row.dataflow or "",
                "reads": row.input_layout,
                "stores": row.output_layout,
                "cycles": row.cycles,
                "load": row.load_cycles,
                "compute": row.compute_cycles,
                "store": row.store_cycles,
                "bound": row.bound_by if row.cycles else "",
                "use": round(row.utilization, 5),
                "share": round(row.cycles / plan.latency_cycles, 6) if plan.latency_cycles else 0.0,
                "start": start,
                "end": start + row.cycles,
                **_roofline(row, stage),
            }
        )
        start += row.cycles
    return rows


def _size(shape: tuple[int, int, int]) -> str:
    return "×".join(map(str, shape))


def _roofline(row: LayerPlan, stage: Stage) -> dict[str, float]:
    conv = stage.conv
    if conv is None or not row.cycles:
        return {}
    # What no window covers is not read: rows and columns that windows reach at most.
    height = min(conv.in_height, conv.out_height * conv.kernel[0])
    width = min(conv.in_width, conv.out_width * conv.kernel[1])
    read = height * width * conv.in_channels + conv.weight_count
    written = row.output_shape[0] * row.output_shape[1] * row.output_shape[2]
    return {
        "intensity": float(f"{conv.macs / max(read, written):.5g}"),
        "rate": float(f"{conv.macs / row.cycles:.5g}"),
    }


def alternative_rows(explained: Sequence[LayerExplanation]) -> list[list[list[Any]]]:
    """For every stage its best choices as [algorithm, dataflow, layout, total cycles or None, chosen]."""
    return [
        [
            [choice.algorithm, choice.dataflow or "", choice.output_layout, choice.total_cycles, choice is layer.chosen]
            for choice in layer.choices[:_ALTERNATIVES]
        ]
        for layer in explained
    ]


def shape_facts(plan: Plan, found: Exploration) -> dict[str, Any]:
    """The explored shapes as columns of equal length, and the Pareto front (None where bounds leave it open).

    ``exact`` lists the indices of exact latencies, where some are lower bounds only.
    """
    usable = found.latency_cycles < 1 << 60
    exact = found.exact
    front = front_of(found)
    return {
        "p1": found.shapes.p1[usable].tolist(),
        "p2": found.shapes.p2[usable].tolist(),
        "cycles": found.latency_cycles[usable].tolist(),
        "exact": None if exact is None or exact.all() else exact[usable].nonzero()[0].tolist(),
        "front": None if front is None else [list(row) for row in front],
        "next": [[*row.array, row.latency_cycles] for row in plan.next_best],
    }


def board_sweep(
    plan: Plan, mapper: Mapper, *, progress: Callable[[int, int], None] | None = None
) -> list[dict[str, Any]]:
    """The optimal latency on the plan's array with an eighth to twice the board's memory bandwidth, or block RAM.

    Every point is mapped anew, exactly; points at which the array cannot be built are left out, and so is what makes no
    other overlay: ports are powers of two, and no wider than a bus can be.
    """
    rows: list[dict[str, Any]] = []
    done = 0
    for what in ("bandwidth", "memory"):
        seen = {_amount(plan, mapper, what)}
        for factor in _FACTORS:
            done += 1
            cycles: int | None = plan.latency_cycles
            other = mapper
            if factor != 1:
                other = _with_memory(plan, mapper, what, factor)
                if _amount(plan, other, what) in seen:
                    continue
                cycles = _optimum(plan, other)
            seen.add(_amount(plan, other, what))
            if cycles is not None:
                rows.append({"what": what, "factor": factor, "amount": _amount(plan, other, what), "cycles": cycles})
            if progress is not None:
                progress(done, 2 * len(_FACTORS))
    return rows


def _with_memory(plan: Plan, mapper: Mapper, what: str, factor: float) -> Mapper:
    board = mapper.board
    if what == "bandwidth":
        board = replace(board, dram_bytes_per_second=board.dram_bytes_per_second * factor)
    elif plan.settings.cost == "overlay":  # the published formulas know no buffers
        board = replace(board, bram_bits=max(1, int(board.bram_bits * factor)))
    return Mapper(
        mapper.network,
        board,
        algorithms=plan.settings.algorithms,
        dataflows=plan.settings.dataflows,
        cost=plan.settings.cost,
        allow_host=plan.settings.allow_host,
        macs_per_dsp=plan.settings.macs_per_dsp,
    )


def _amount(plan: Plan, mapper: Mapper, what: str) -> float:
    """Bytes per cycle of the memory port, or MiB of block RAM."""
    if what == "memory":
        return mapper.overlay.on_chip_bits / 8 / 2**20
    if plan.settings.cost == "paper":
        return float(dram_bytes_per_cycle(mapper.board))
    return float(mapper.overlay.dram_bytes_per_cycle)


def _optimum(plan: Plan, mapper: Mapper) -> int | None:
    """Cycles of the best mapping on the plan's array; None where there is none, or no such array."""
    try:
        mapper.shapes(plan.array)
        solution = solve(mapper.decision(*plan.array).problem)
    except (DynamapError, SolverError):
        return None
    return int(solution.objective_value()) if solution.status is Status.OPTIMAL else None


def shares(rows: Sequence[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """(family, layers, cycles) by family, most cycles first."""
    cycles: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for row in rows:
        cycles[row["family"]] += row["cycles"]
        count[row["family"]] += 1
    return [(name, count[name], total) for name, total in sorted(cycles.items(), key=lambda item: -item[1])]


def _edges(count: int) -> str:
    return f"{count:,} edge{'' if count == 1 else 's'}"


def proof_rows(plan: Plan) -> list[tuple[str, str]]:
    """The proof as (what, which) for people."""
    proof = plan.proof
    rules = Counter(step.rule for step in proof.reductions)
    gap = plan.latency_cycles - plan.lower_bound_cycles
    certificate = (
        f"reduction sequence of {len(proof.reductions):,} steps ("
        + ", ".join(f"{count:,} × {rule}" for rule, count in rules.items())
        + f"), after {len(proof.dropped):,} choices that nothing allows were struck out"
        if proof.reductions
        else "none in the plan; the check solves the mapping problem again"
    )
    scope = (
        f"all {plan.shapes_explored:,} arrays the board can hold: {proof.exploration}"
        if plan.settings.array is None
        else f"this array alone, as asked for ({plan.array[0]}×{plan.array[1]})"
    )
    return [
        ("status", "proved optimal" if plan.status == "optimal" else f"not proved optimal ({proof.stop_reason})"),
        ("latency", f"{plan.latency_cycles:,} cycles"),
        ("lower bound", f"{plan.lower_bound_cycles:,} cycles" + (" (no gap)" if gap == 0 else f" (gap {gap:,})")),
        ("method", f"{proof.method}; the problem has {proof.variables:,} variables and {_edges(proof.edges)}"),
        ("certificate", certificate),
        ("holds over", scope),
        ("costs", f"preset {plan.settings.cost}"),
        ("network", f"{plan.model.name}, SHA-256 of its structure {plan.model.fingerprint[:16]}…"),
    ]
