"""``dynamap compare``, ``dynamap survey`` and ``dynamap timing``: measurements over many explorations."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dynamap_models.zoo import model_names
from dynamap_opt import api
from dynamap_opt.board import board_names, load_board
from dynamap_opt.comparison import StrategyResult
from dynamap_opt.study import SurveyRow, run_processes, survey, time_explorations

from .options import add_executor, add_json, add_model, input_shapes, names
from .output import Output, Progress, integer, percent, seconds, table

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the three commands to the parser."""
    compare = commands.add_parser("compare", help="the joint optimum against fixed strategies and the two-step search")
    add_model(compare)
    compare.add_argument("--measure", action="store_true", help="run every strategy on the RTL as well")
    add_executor(compare, jobs=1)
    add_json(compare)
    compare.set_defaults(run=_compare)
    survey_ = commands.add_parser("survey", help="the optimum of many networks on many boards")
    survey_.add_argument("--models", type=names, metavar="LIST", help="zoo names or ONNX files (default: the zoo)")
    survey_.add_argument("--boards", type=names, metavar="LIST", help="presets or TOML files (default: all presets)")
    survey_.add_argument("--cost", default="overlay", choices=("overlay", "paper"), help="cost preset")
    add_executor(survey_, jobs=1)
    add_json(survey_)
    survey_.set_defaults(run=_survey)
    timing = commands.add_parser("timing", help="how long exploration takes, and how that grows with layers and shapes")
    add_model(timing)
    add_json(timing)
    timing.set_defaults(run=_timing)


def _compare(options: argparse.Namespace) -> int:
    output = Output(options.json)
    with Progress("comparing strategies") as progress:
        results = api.compare(
            options.model,
            options.board,
            cost=options.cost,
            input_shapes=input_shapes(options) or None,
            allow_host=options.allow_host,
            threads=options.threads,
            measure=options.measure,
            jobs=options.jobs,
            executor=options.executor,
            progress=progress,
        )
    columns = [
        ("strategy", "left"),
        ("array", "right"),
        ("cycles", "right"),
        ("latency", "right"),
        ("slower by", "right"),
        *([("measured", "right"), ("slower by", "right"), ("values", "left")] if options.measure else []),
    ]
    optimum = results[0].measured_cycles
    rows = [
        (
            result.strategy,
            f"{result.array[0]}x{result.array[1]}",
            integer(result.latency_cycles),
            seconds(result.latency_s),
            percent(result.loss) if result.loss else "",
            *_measured(result, optimum),
        )
        for result in results
    ]
    output.print(table(columns, rows, title=f"{options.model} on {options.board}, cost preset {options.cost}"))
    output.json("comparison", {"strategies": [asdict(result) for result in results]})
    wrong = [r.strategy for r in results if r.values_match is False]
    faster = [r.strategy for r in results if optimum is not None and (r.measured_cycles or 0) < optimum]
    if wrong:
        output.print(f"values differ from ONNX Runtime's: {', '.join(wrong)}")
    if faster:
        output.print(f"measured faster than the joint optimum: {', '.join(faster)}")
    return 1 if wrong or faster else 0


def _measured(result: StrategyResult, optimum: int | None) -> tuple[str, ...]:
    """Cells of what was measured; none where nothing was."""
    if result.measured_cycles is None or optimum is None:
        return ()
    loss = result.measured_cycles / optimum - 1
    return integer(result.measured_cycles), percent(loss) if loss else "", "equal" if result.values_match else "differ"


def _survey(options: argparse.Namespace) -> int:
    output = Output(options.json)
    models = options.models or model_names()
    boards = [load_board(name) for name in options.boards or board_names()]
    with Progress("mapping networks onto boards") as progress:
        rows = survey(
            models, boards, cost=options.cost, jobs=options.jobs, executor=options.executor, progress=progress
        )
    columns = (
        "model",
        "board",
        "array",
        "cycles",
        "latency",
        "over compute bound",
        "over bandwidth bound",
        "MACs by",
        "s",
    )
    left = {"model", "board", "MACs by"}
    output.print(
        table(
            [(column, "left" if column in left else "right") for column in columns],
            [
                (
                    row.model,
                    row.board,
                    f"{row.array[0]}x{row.array[1]}",
                    integer(row.latency_cycles),
                    seconds(row.latency_s),
                    f"{row.latency_cycles / row.compute_bound:.2f}x",
                    f"{row.latency_cycles / row.bandwidth_bound:.2f}x",
                    ", ".join(
                        f"{name} {percent(share)}" for name, share in sorted(row.shares.items(), key=lambda i: -i[1])
                    ),
                    f"{row.seconds:.2f}",
                )
                for row in rows
            ],
        )
    )
    if output.speaks:
        _print_totals(output, rows)
    output.json("survey", {"rows": [asdict(row) for row in rows]})
    return 0


def _print_totals(output: Output, rows: Sequence[SurveyRow]) -> None:
    """What the algorithms' layers are bound by, over all plans, and how often a layout repeats elements."""
    parts = ("load", "compute", "store")
    names = sorted({name for row in rows for name in row.layers})
    cells = []
    for name in names:
        counts = [sum(row.bound_by.get(f"{name}: {part}", 0) for row in rows) for part in parts]
        cells.append([name, *map(integer, (sum(counts), *counts))])
    sides = [("algorithm", "left"), ("layers", "right"), *((f"bound by {part}", "right") for part in parts)]
    output.print(table(sides, cells, title="over all plans"))
    expanded = sum(row.expanded_layouts for row in rows)
    output.print(f"outputs stored in a layout that repeats elements (toeplitz, tiles): {integer(expanded)}")


def _timing(options: argparse.Namespace) -> int:
    output = Output(options.json)
    network = api.load_model(options.model, input_shapes=input_shapes(options) or None)
    board = load_board(options.board)
    with Progress("timing whole processes") as progress:
        command = [sys.executable, "-m", "dynamap_opt", "map", options.model, "--board", options.board, "--allow-host"]
        command += ["--cost", options.cost, "--threads", str(options.threads), "--json", "-"]
        for name, shape in input_shapes(options).items():
            command += ["--input-shape", f"{name}={','.join(map(str, shape))}"]
        runs = run_processes(command, progress=progress)
    with Progress("timing explorations") as progress:
        rows = time_explorations(network, board, cost=options.cost, threads=options.threads, progress=progress)
    walls = [run.wall_seconds for run in runs]
    output.print(
        table(
            [
                (column, "right")
                for column in ("runs", "least", "median", "most", "median processor time", "peak memory")
            ],
            [
                (
                    integer(len(runs)),
                    seconds(min(walls)),
                    seconds(statistics.median(walls)),
                    seconds(max(walls)),
                    seconds(statistics.median(run.cpu_seconds for run in runs)),
                    f"{max(run.peak_bytes for run in runs) / 2**20:.0f} MiB",
                )
            ],
            title=f"whole process: dynamap map {options.model} --board {options.board}, {options.threads} threads",
        )
    )
    columns = ("stages", "convolutions", "shapes", "tables", "exploration", "ns per stage and shape")
    output.print(
        table(
            [(column, "right") for column in columns],
            [
                (
                    integer(row.stages),
                    integer(row.convolutions),
                    integer(row.shapes),
                    seconds(row.table_seconds),
                    seconds(row.explore_seconds),
                    f"{row.explore_seconds / row.stages / row.shapes * 1e9:.0f}",
                )
                for row in rows
            ],
            title="growth with the layers (first rows) and with the shapes",
        )
    )
    output.json("timing", {"processes": [asdict(run) for run in runs], "rows": [asdict(row) for row in rows]})
    return 0
