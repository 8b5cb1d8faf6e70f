"""What differs between two plans for one network."""

from __future__ import annotations

from typing import Any

from dynamap_opt.plan import LayerPlan, Plan, PlanError

__all__ = ["check_comparable", "layer_differences", "plan_facts"]

_CHOICE = ("algorithm", "dataflow", "input_layout", "output_layout")


def check_comparable(plan: Plan, other: Plan) -> None:
    """Refuse two plans whose layers do not correspond.

    Raises:
        PlanError: when they are for different structures of a network.
    """
    same = plan.model.fingerprint == other.model.fingerprint
    if not same or [row.name for row in plan.layers] != [row.name for row in other.layers]:
        raise PlanError(
            f"the plans are for different networks, {plan.model.name!r} and {other.model.name!r}; "
            "compare plans made from the same model"
        )


def layer_differences(plan: Plan, other: Plan) -> list[dict[str, Any]]:
    """A row for every layer that is computed differently or takes other cycles.

    ``before`` is the other plan's, ``after`` this one's; ``choice`` says whether more than cycles differs. ``change``
    is in cycles, ``change_us`` in microseconds of each plan's clock.
    """
    clocks = [float(each.board["clock_hz"]) for each in (other, plan)]
    rows = []
    for number, (before, after) in enumerate(zip(other.layers, plan.layers, strict=True)):
        choice = any(getattr(before, field) != getattr(after, field) for field in _CHOICE)
        if not choice and before.cycles == after.cycles and clocks[0] == clocks[1]:
            continue
        rows.append(
            {
                "n": number + 1,
                "name": after.name,
                "choice": choice,
                "before": _choice(before),
                "after": _choice(after),
                "cycles_before": before.cycles,
                "cycles_after": after.cycles,
                "change": after.cycles - before.cycles,
                "change_us": round((after.cycles / clocks[1] - before.cycles / clocks[0]) * 1e6, 4),
            }
        )
    return rows


def _choice(row: LayerPlan) -> str:
    parts = [row.algorithm, *([row.dataflow] if row.dataflow else [])]
    layouts = row.input_layout if row.input_layout == row.output_layout else f"{row.input_layout} → {row.output_layout}"
    return f"{' '.join(parts)}, {layouts}"


def plan_facts(plan: Plan) -> list[tuple[str, str]]:
    """The plan's head in a few (what, which) rows."""
    board = plan.board
    elements = plan.array[0] * plan.array[1]
    worked = sum(row.utilization * row.cycles for row in plan.layers)
    return [
        ("board", f"{board['name']} at {float(board['clock_hz']) / 1e6:.0f} MHz"),
        ("array", f"{plan.array[0]}×{plan.array[1]} = {elements:,} elements"),
        ("latency", f"{plan.latency_s * 1e3:.3f} ms ({plan.latency_cycles:,} cycles)"),
        ("array in use", f"{100 * worked / plan.latency_cycles:.1f} %" if plan.latency_cycles else "–"),
        ("status", plan.status),
        ("costs", plan.settings.cost),
        ("algorithms", ", ".join(plan.settings.algorithms)),
        ("dataflows", ", ".join(plan.settings.dataflows)),
    ]
