"""A reproduction as people read it: tables that fit the terminal, claims with verdict and reason."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Sequence

from dynamap_opt.comparison import StrategyResult
from dynamap_opt.reproduction import Beside, LayerUse, NetworkResult, Reproduction
from dynamap_opt.reproduction.published import REMEMBERED
from dynamap_opt.study import SurveyRow

from .output import Output, column_blocks, integer, percent, seconds, table

__all__ = ["print_reproduction"]

# Text is not set wider, so that lines can be followed.
_WIDEST_TEXT = 120


def print_reproduction(output: Output, result: Reproduction, *, layers: bool = False) -> None:
    """Print everything that was found; with ``layers`` every layer, too."""
    networks = list(dict.fromkeys(one.network for one in result.networks))
    for network in networks:
        runs = [one for one in result.networks if one.network == network]
        _print_strategies(output, runs)
        for run in runs:
            _print_algorithms(output, run)
        if layers:
            _print_layers(output, runs)
        _print_kn2row(output, runs)
    _print_bounds(output, result)
    _print_beyond(output, result)
    _print_residency(output, result)
    _print_beside(output, result.beside)
    _print_others(output, result)
    _print_times(output, result)
    _print_verdicts(output, result)
    _print_checks(output, result)


def _wide(output: Output, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], title: str) -> None:
    """A title and a table, in as many as the terminal asks for."""
    if not rows:
        return
    headings = [heading for heading, _ in columns]
    for block in column_blocks((headings, *rows), output.console.width):
        output.print("")
        _say(output, title)
        output.print(table([columns[k] for k in block], [[row[k] for k in block] for row in rows]))
        title = f"{title.partition(':')[0].removesuffix(' (continued)')} (continued)"


def _say(output: Output, text: str, indent: str = "") -> None:
    width = min(output.console.width, _WIDEST_TEXT)
    output.print(textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent + "  "))


# ---- strategies and layers ----


def _print_strategies(output: Output, runs: Sequence[NetworkResult]) -> None:
    columns = [("strategy", "left")]
    for run in runs:
        columns += [("array", "right"), (run.preset, "right"), ("more", "right")]
    rows = [
        (first.strategy, *(cell for run in runs for cell in _strategy(run.strategies[index])))
        for index, first in enumerate(runs[0].strategies)
    ]
    presets = " and ".join(run.preset for run in runs)
    _wide(output, columns, rows, f"{runs[0].network}: latency under the cost preset{'s' * (len(runs) > 1)} {presets}")


def _strategy(found: StrategyResult) -> tuple[str, str, str]:
    return _shape(found.array), seconds(found.latency_s), percent(found.loss) if found.loss else ""


def _print_algorithms(output: Output, run: NetworkResult) -> None:
    """What the optimum computes by which algorithm, and how well that uses the array."""
    groups: dict[str, list[LayerUse]] = defaultdict(list)
    for layer in run.layers:
        groups[layer.algorithm].append(layer)
    total = sum(layer.cycles for layer in run.layers) + run.off_array_cycles
    rows = [
        (algorithm, *_use(group, run, total))
        for algorithm, group in sorted(groups.items(), key=lambda item: -sum(layer.cycles for layer in item[1]))
    ]
    if run.off_array_cycles:
        rows.append(("(vector path)", "", "", percent(run.off_array_cycles / total), "", "", ""))
    rows.append(("all on the array", *_use(run.layers, run, total)))
    columns = [("algorithm", "left")]
    columns += [(name, "right") for name in ("layers", "MACs", "cycles", "computing", "overall", "NS only")]
    title = f"{run.network} under {run.preset}, {_shape(run.best.array)}: use of the array by the optimum's layers"
    _wide(output, columns, rows, f"{title}, while computing, overall, and while computing with NS only")


def _use(layers: Sequence[LayerUse], run: NetworkResult, total: int) -> tuple[str, ...]:
    cycles, compute = sum(x.cycles for x in layers), sum(x.compute_cycles for x in layers)
    products = sum(x.utilization * x.cycles for x in layers)  # over the array's elements
    narrow = sum(x.ns_utilization * x.ns_compute_cycles for x in layers) / max(
        1, sum(x.ns_compute_cycles for x in layers)
    )
    return (
        integer(len(layers)),
        percent(sum(x.macs for x in layers) / max(1, sum(x.macs for x in run.layers))),
        percent(cycles / max(1, total)),
        percent(products / max(1, compute)),
        percent(products / max(1, cycles)),
        percent(narrow),
    )


def _print_layers(output: Output, runs: Sequence[NetworkResult]) -> None:
    columns = [("layer", "left"), ("operation", "left")]
    for run in runs:
        columns += [(run.preset, "left"), ("array", "right"), ("layer", "right"), ("NS", "right")]
    rows = []
    for index, first in enumerate(runs[0].layers):
        cells = [first.name, first.operation]
        for run in runs:
            layer = run.layers[index]
            cells += [
                f"{layer.algorithm} {layer.dataflow}",
                percent(layer.array_utilization),
                percent(layer.utilization),
                percent(layer.ns_utilization),
            ]
        rows.append(cells)
    _wide(
        output,
        columns,
        rows,
        f"{runs[0].network}: utilisation of the array while it computes, over the whole layer, and with NS only",
    )


def _print_kn2row(output: Output, runs: Sequence[NetworkResult]) -> None:
    for run in runs:
        used = [layer for layer in run.layers if layer.without_kn2row_cycles is not None]
        if not used:
            large = [layer for layer in run.layers if layer.kernel != (1, 1)]
            winograd = sum("winograd" in layer.algorithm for layer in large)
            strided = sum(layer.stride != (1, 1) for layer in large)
            _say(
                output,
                f"{run.network}, {run.preset}: kn2row is in no layer of the optimum. Of the {len(large)} with kernels "
                f"above 1x1, where it differs from im2col, {winograd} are Winograd's; "
                f"{strided} {'has' if strided == 1 else 'have'} a stride.",
            )
            continue
        saved = [(layer.without_kn2row_cycles or 0) - run.best.latency_cycles for layer in used]
        most = max(range(len(used)), key=lambda k: saved[k])
        kernels = sorted({layer.kernel for layer in used})
        apart = sum(layer.without_kn2row_cycles == run.best.latency_cycles for layer in used)
        _say(
            output,
            f"{run.network}, {run.preset}: kn2row is in {len(used)} layers of the optimum, with kernels "
            f"{', '.join(map(_shape, kernels))}. Without it in one of these the network takes {integer(min(saved))} to "
            f"{integer(max(saved))} cycles more (at most {percent(saved[most] / run.best.latency_cycles)}, "
            f"{used[most].name}){f'; in {apart} another choice is as good' if apart else ''}.",
        )


def _print_bounds(output: Output, result: Reproduction) -> None:
    clock = result.board.clock_hz
    for bounds in result.bounds:
        columns = [("algorithms", "left"), ("products", "right"), ("at least", "right"), ("whole tiles", "right")]
        rows = [
            (
                one.algorithms,
                integer(one.products),
                seconds(one.ideal_cycles / clock),
                seconds(one.array_cycles / clock),
            )
            for one in bounds.bounds
        ]
        title = f"{bounds.network} on {_shape(bounds.array)} at {clock / 1e6:.0f} MHz"
        _wide(output, columns, rows, f"{title}: products alone, one an element and cycle")
        _say(
            output,
            f"{percent(bounds.line_share)} of the multiply-accumulates are in 1xn and nx1 kernels, "
            f"{percent(bounds.strided_share)} strided. Over output pixels alone kn2row computes in fewer cycles than "
            f"im2col and F(2x2,3x3) in {bounds.kn2row_wins} of {bounds.convolutions} convolutions.",
        )


# ---- beyond, and beside ----


def _print_beyond(output: Output, result: Reproduction) -> None:
    best = {(run.network, run.preset): run.best for run in result.networks}
    columns = [("choices", "left"), ("preset", "left"), ("array", "right"), ("latency", "right"), ("change", "right")]
    for network in dict.fromkeys(one.network for one in result.variants):
        rows = []
        for one in result.variants:
            optimum = best.get((one.network, one.preset))
            change = "" if optimum is None else f"{100 * (one.latency_cycles / optimum.latency_cycles - 1):+.1f} %"
            if one.network == network:
                rows.append((one.variant, one.preset, _shape(one.array), seconds(one.latency_s), change))
        _wide(output, columns, rows, f"{network}: beyond the paper, and how that changes the preset's optimum")


def _print_residency(output: Output, result: Reproduction) -> None:
    names = ("budget", "used", "tensors on chip", "latency", "saved", "at least")
    for one in result.residency:
        rows = [
            (
                f"{budget.limit_bytes / 1024:,.0f} KiB",
                f"{budget.peak_bytes / 1024:,.0f} KiB",
                integer(len(budget.resident)),
                seconds(budget.latency_cycles / result.board.clock_hz),
                percent(1 - budget.latency_cycles / one.latency_cycles),
                "proved" if budget.status == "optimal" else seconds(budget.lower_bound_cycles / result.board.clock_hz),
            )
            for budget in one.budgets
        ]
        title = (
            f"{one.network} on {_shape(one.array)} under paper: were tensors kept on chip, chosen with the algorithms"
        )
        _wide(output, [(name, "right") for name in names], rows, title)
        _say(
            output,
            f"The board's UltraRAM has {one.device_bytes / 1024:,.0f} KiB; keeping everything takes "
            f"{one.needed_bytes / 1024:,.0f} KiB. A tensor on chip is handed on at no cost, the most there is to save; "
            "the generated overlay keeps none.",
        )


def _print_beside(output: Output, beside: Sequence[Beside]) -> None:
    presets = sorted({preset for row in beside for preset in row.ours_s})
    columns = [("design", "left"), ("board", "left"), ("bits", "left"), ("MHz", "right"), ("DSP", "right")]
    columns += [("published", "right"), *((preset, "right") for preset in presets)]
    columns += [("per DSP", "right"), ("scaled", "right"), ("figure", "left")]
    for network in dict.fromkeys(row.figure.network for row in beside):
        rows = [_figure_row(row, presets) for row in beside if row.figure.network == network]
        _wide(output, columns, rows, f"{network}: published figures, and ours on the same device")
    if beside:
        _say(
            output,
            "per DSP: direct multiply-accumulates a DSP and cycle. scaled: the published time with as many DSPs and as "
            "fast a clock as ours on that board. dev: the device's DSPs, as the design's are not stated, so that the "
            "design does better a DSP than it says here. /image: from a throughput, no latency. figure: published, or "
            f"{REMEMBERED}.",
        )
        for source in dict.fromkeys(f"{row.figure.design}: {row.figure.source}" for row in beside):
            _say(output, source, "  ")


def _figure_row(row: Beside, presets: Sequence[str]) -> tuple[str, ...]:
    figure = row.figure
    return (
        figure.design,
        figure.board,
        figure.precision,
        "" if figure.clock_mhz is None else f"{figure.clock_mhz:g}",
        f"{integer(row.dsp)}{' dev' if row.dsp_of_device else ''}",
        f"{row.published_s * 1e3:.2f} ms{'' if figure.latency_ms is not None else '/image'}",
        *(f"{row.ours_s[preset] * 1e3:.2f} ms" if preset in row.ours_s else "" for preset in presets),
        "" if row.macs_per_dsp_cycle is None else f"{row.macs_per_dsp_cycle:.3f}",
        "" if row.scaled_s is None else f"{row.scaled_s * 1e3:.2f} ms",
        figure.trust,
    )


def _print_others(output: Output, result: Reproduction) -> None:
    presets = sorted({preset for preset, _ in result.others})
    columns = [("network and board", "left")]
    for preset in presets:
        columns += [("array", "right"), (preset, "right"), ("over compute", "right"), ("over memory", "right")]
    found = {(row.model, row.board, preset): row for preset, row in result.others}
    rows = []
    for model, board in dict.fromkeys((row.model, row.board) for _, row in result.others):
        cells = [f"{model}, {board}"]
        for preset in presets:
            row = found.get((model, board, preset))
            cells += [""] * 4 if row is None else _other(row)
        rows.append(cells)
    title = "optima on these boards: over the direct products on the array, over each map and weight moved once"
    _wide(output, columns, rows, title)


def _other(row: SurveyRow) -> list[str]:
    ratios = (row.latency_cycles / row.compute_bound, row.latency_cycles / row.bandwidth_bound)
    return [_shape(row.array), seconds(row.latency_s), *(f"{ratio:.2f}x" for ratio in ratios)]


def _print_times(output: Output, result: Reproduction) -> None:
    names = ("variables", "edges", "one mapping", "shapes", "search")
    columns = [("network", "left"), ("preset", "left"), *((name, "right") for name in names)]
    rows = [
        (
            one.network,
            one.preset,
            integer(one.variables),
            integer(one.edges),
            seconds(one.solve_s),
            integer(one.shapes),
            seconds(one.search_s),
        )
        for one in result.times
    ]
    _wide(
        output,
        columns,
        rows,
        "time to optimise: one thread, medians of wall times; the search has tables and plan in it",
    )


# ---- verdicts ----


def _print_verdicts(output: Output, result: Reproduction) -> None:
    for claim in result.claims:
        found = [verdict for verdict in result.verdicts if verdict.claim == claim.id]
        if not found:
            continue
        mark = "published" if claim.trust == "published" else REMEMBERED
        network = f"{claim.network}: " if claim.network else ""
        output.print("")
        _say(output, f'claim: {network}"{claim.text}" ({mark})')
        for verdict in found:
            about = ", ".join(part for part in (verdict.network if not claim.network else "", verdict.preset) if part)
            _say(output, f"- {about + ': ' if about else ''}{verdict.outcome}. {verdict.ours}: {verdict.why}", "  ")


def _print_checks(output: Output, result: Reproduction) -> None:
    if not result.checks:
        return
    output.print("")
    failing = [(owner, check) for owner, check in result.checks if not check.holds]
    if not failing:
        kinds = dict.fromkeys(check.name for _, check in result.checks)
        _say(output, f"all {len(result.checks)} checks hold: {'; '.join(kinds)}")
    for owner, check in failing:
        _say(output, f"does NOT hold for {owner}: {check.name} ({check.detail})")


def _shape(array: tuple[int, int]) -> str:
    return f"{array[0]}x{array[1]}"
