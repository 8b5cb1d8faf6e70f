"""``dynamap explain`` and ``dynamap verify``: questions about a plan file."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from dynamap_opt import api
from dynamap_opt.explanation import Alternative

from .options import add_json
from .output import Output, Progress, integer, percent, table

__all__ = ["add_commands"]

_SHOWN = 6  # alternatives a layer when all layers are shown


def add_commands(commands: Any) -> None:
    """Add the two commands to the parser."""
    explain = commands.add_parser("explain", help="why this choice: each alternative with the rest re-optimised")
    explain.add_argument("plan", metavar="PLAN", help="a file written by 'dynamap map --json'")
    explain.add_argument("layer", nargs="?", metavar="LAYER", help="one layer instead of all")
    explain.add_argument("--model", metavar="MODEL", help="where the network is now, if it has moved")
    add_json(explain)
    explain.set_defaults(run=_explain)
    verify = commands.add_parser("verify", help="price a plan again from the network alone and check its proof")
    verify.add_argument("plan", metavar="PLAN", help="a file written by 'dynamap map --json'")
    verify.add_argument("--model", metavar="MODEL", help="where the network is now, if it has moved")
    verify.add_argument("--explore", action="store_true", help="also solve every other array shape again")
    add_json(verify)
    verify.set_defaults(run=_verify)


def _explain(options: argparse.Namespace) -> int:
    output = Output(options.json)
    with Progress("explaining layers") as progress:
        layers = api.explain(options.plan, options.layer, model=options.model, progress=progress)
    shown = _SHOWN if options.layer is None else None
    for layer in layers:
        if len(layer.choices) == 1:
            continue
        best = layer.chosen.total_cycles
        rows = [_row(choice, layer.chosen, best) for choice in layer.choices[:shown]]
        columns = [
            ("", "left"),
            ("algorithm", "left"),
            ("flow", "left"),
            ("stored as", "left"),
            ("network cycles", "right"),
        ]
        output.print(table([*columns, ("more", "right")], rows, title=layer.name))
        if shown is not None and len(layer.choices) > shown:
            output.print(f"  and {len(layer.choices) - shown} more: 'dynamap explain {options.plan} {layer.name}'")
    single = [layer.name for layer in layers if len(layer.choices) == 1]
    if single:
        output.print(f"one choice only: {', '.join(single)}")
    facts = [
        {"name": layer.name, "chosen": asdict(layer.chosen), "choices": [asdict(choice) for choice in layer.choices]}
        for layer in layers
    ]
    output.json("explanation", {"layers": facts})
    return 0


def _row(choice: Alternative, chosen: Alternative, best: int | None) -> tuple[str, ...]:
    total = choice.total_cycles
    more = "" if total is None or not best or total == best else f"+{percent(total / best - 1)}"
    return (
        "chosen" if choice == chosen else "",
        choice.algorithm,
        choice.dataflow or "",
        choice.output_layout,
        "impossible" if total is None else integer(total),
        more,
    )


def _verify(options: argparse.Namespace) -> int:
    output = Output(options.json)
    result = api.verify(options.plan, model=options.model, explore=options.explore)
    for problem in result.problems:
        output.print(f"wrong: {problem}")
    if result.holds:
        proof = "its proof checks" if result.proof_checked else "it claims no optimum"
        output.print(f"the plan holds: {integer(result.latency_cycles)} cycles, and {proof}")
    output.json("verification", {"holds": result.holds, **asdict(result)})
    return 0 if result.holds else 1
