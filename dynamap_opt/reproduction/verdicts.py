"""Published claims beside what was found here: each verdict and its reason are computed from numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dynamap_opt.board import Board

from .bounds import ComputeBounds
from .published import REMEMBERED, Claim, Published
from .results import ArrayResult, NetworkResult, TimeResult, VariantResult

__all__ = ["TOLERANCE", "Findings", "Verdict", "judge", "within"]

#: A number matches when it differs from the published one by at most this share of it.
TOLERANCE = 0.05

MATCHES, DIFFERS = "matches", "does not match"
POSSIBLE, IMPOSSIBLE = "possible", "not possible"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One claim held against what was found.

    Attributes:
        claim: id of the claim.
        text: what is claimed.
        trust: ``published`` or ``remembered``.
        network: zoo name; empty for all.
        preset: cost preset; empty where none is meant.
        ours: what was found.
        outcome: ``matches``, with how closely for a number, or ``does not match``; ``possible`` or ``not possible``
            against a lower bound.
        why: the reason, in numbers; what a match rests on.
    """

    claim: str
    text: str
    trust: str
    network: str
    preset: str
    ours: str
    outcome: str
    why: str

    @property
    def matches(self) -> bool:
        """Whether what was found agrees with the claim."""
        return self.outcome.startswith((MATCHES, POSSIBLE))


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What verdicts are made from; ``asked`` are the networks, whatever was not wanted of them is empty."""

    board: Board
    asked: tuple[str, ...]
    networks: tuple[NetworkResult, ...] = ()
    arrays: tuple[ArrayResult, ...] = ()
    bounds: tuple[ComputeBounds, ...] = ()
    variants: tuple[VariantResult, ...] = ()
    times: tuple[TimeResult, ...] = ()


def within(found: float, published: float) -> str:
    """The outcome for a number.

    >>> within(1.05, 1.0), within(1.06, 1.0)
    ('matches within 5.0 %', 'does not match')
    """
    difference = abs(found - published) / published
    # A difference of exactly the tolerance is one, whatever binary fractions make of it.
    return f"{MATCHES} within {100 * difference:.1f} %" if difference <= TOLERANCE * (1 + 1e-9) else DIFFERS


def judge(published: Published, findings: Findings) -> tuple[Verdict, ...]:
    """A verdict for every claim and preset for which something was found."""
    verdicts: list[Verdict] = []
    for claim in published.claims:
        if claim.network and claim.network not in findings.asked:
            continue
        for preset, ours, outcome, why, network in _JUDGES[claim.kind](claim, published, findings):
            verdicts.append(
                Verdict(
                    claim=claim.id,
                    text=claim.text,
                    trust=claim.trust,
                    network=network,
                    preset=preset,
                    ours=ours,
                    outcome=outcome,
                    why=why,
                )
            )
    return tuple(verdicts)


# Every judge gives (preset, what was found, outcome, why, network).
_Row = tuple[str, str, str, str, str]


def _strategies(claim: Claim, published: Published, findings: Findings) -> Iterable[_Row]:  # noqa: ARG001 - as all
    for result in findings.networks:
        fixed = [s for s in result.strategies[1:] if s.strategy != "two-step search"]
        equal = [s.strategy for s in fixed if s.loss == 0]
        least, most = min(fixed, key=lambda s: s.loss), max(fixed, key=lambda s: s.loss)
        found = f"slower by {_percent(least.loss)} ({least.strategy}) to {_percent(most.loss)} ({most.strategy})"
        why = f"{', '.join(equal)} reach the optimum" if equal else "each fixed strategy with its own best array"
        yield result.preset, found, DIFFERS if equal else MATCHES, why, result.network


def _series_parallel(claim: Claim, published: Published, findings: Findings) -> Iterable[_Row]:  # noqa: ARG001
    for result in findings.networks:
        reduced, checked = result.method == "series-parallel", all(check.holds for check in result.checks)
        size = f"{result.variables} variables, {result.edges} edge{'s' * (result.edges != 1)}"
        why = "reduced to a point" if reduced else "not reduced to a point"
        if reduced:
            why += ", and the reduction sequence checks" if checked else ", but not every check of the plan holds"
        outcome = MATCHES if reduced and checked else DIFFERS
        yield result.preset, f"{result.method}: {size}", outcome, why, result.network


def _speed_up(claim: Claim, published: Published, findings: Findings) -> Iterable[_Row]:
    theirs, baseline = published.figure(claim.of), published.figure(claim.over)
    assert theirs.latency_ms is not None
    assert baseline.latency_ms is not None
    assert claim.value is not None
    ratio = baseline.latency_ms / theirs.latency_ms
    marks = f" ({REMEMBERED})" if "remembered" in {theirs.trust, baseline.trust} else ""
    source = f"{baseline.latency_ms:g} ms over {theirs.latency_ms:g} ms{marks}"
    yield "", f"{ratio:.2f}x", within(ratio, claim.value), source, claim.network
    for result in findings.networks:
        if result.network == claim.network:
            ours = baseline.latency_ms / (result.best.latency_s * 1e3)
            why = (
                f"{baseline.latency_ms:g} ms{marks} on {baseline.board}, {baseline.precision}, over our "
                f"{_ms(result.best.latency_s)} on {findings.board.name}, INT8"
            )
            yield result.preset, f"{ours:.2f}x", within(ours, claim.value), why, claim.network


def _array(claim: Claim, published: Published, findings: Findings) -> Iterable[_Row]:  # noqa: ARG001 - as all
    for result in findings.networks:
        if result.network != claim.network or claim.array is None:
            continue
        best, clock = result.best, findings.board.clock_hz
        ours = f"{_shape(best.array)}, {_ms(best.latency_s)}"
        on = _on_array(findings.arrays, result.network, result.preset, claim.array)
        if best.array == claim.array:
            yield result.preset, ours, MATCHES, "the same rows and columns", result.network
            continue
        if on is None or on.latency_cycles is None:
            yield result.preset, ours, DIFFERS, f"{_shape(claim.array)} was not priced", result.network
            continue
        more = on.latency_cycles / best.latency_cycles - 1
        why = f"{_shape(claim.array)} takes {_ms(on.latency_cycles / clock)}, {_percent(more)} more"
        if on.faster_shapes is not None and on.small_array is not None and on.small_cycles is not None:
            why += f"; {on.faster_shapes:,} shapes are faster"
            elements = claim.array[0] * claim.array[1]
            if on.small_array == claim.array:
                why += f"; with at most its {elements:,} elements it is the best"
            else:
                excess = 1 - on.small_cycles / on.latency_cycles
                why += (
                    f"; with at most its {elements:,} elements {_shape(on.small_array)} takes {_percent(excess)} less"
                )
        exchanged = _on_array(findings.arrays, result.network, result.preset, claim.array[::-1])
        if exchanged is not None and exchanged.latency_cycles is not None and exchanged is not on:
            rest = exchanged.latency_cycles / best.latency_cycles - 1
            why += f"; with rows and columns exchanged {_ms(exchanged.latency_cycles / clock)}, {_percent(rest)} more"
        yield result.preset, ours, DIFFERS, why, result.network


def _latency(claim: Claim, published: Published, findings: Findings) -> Iterable[_Row]:  # noqa: ARG001 - as all
    assert claim.value is not None
    clock = findings.board.clock_hz
    for bound in findings.bounds:
        if (bound.network, bound.array) == (claim.network, claim.array):
            yield _against_bound(claim.value, bound, findings.board)
    for on in findings.arrays:
        if (on.network, on.array) != (claim.network, claim.array) or on.latency_cycles is None:
            continue
        found = on.latency_cycles / clock * 1e3
        outcome = within(found, claim.value)
        memory = on.load_cycles + on.store_cycles
        parts = f"products {_ms(on.compute_cycles / clock)}, transfers {_ms(memory / clock)}"
        parts += " (they overlap)" if on.overlaps else ""
        left = claim.value / 1e3 * clock - on.compute_cycles
        if not on.overlaps and memory and left > 0 and outcome == DIFFERS:
            peak = findings.board.dram_bytes_per_second / 1e9
            parts += f"; {peak * memory / left:.1f} GB/s instead of our {peak:.1f} would give {claim.value:g} ms"
        yield on.preset, f"{found:.3f} ms on {_shape(on.array)}", outcome, parts, claim.network
    for one in findings.variants:
        if one.network == claim.network:
            found = one.latency_s * 1e3
            ours = f"{found:.3f} ms on {_shape(one.array)}"
            apart = f"{_percent(abs(found / claim.value - 1))} {'more' if found > claim.value else 'less'}"
            yield one.preset, ours, within(found, claim.value), f"{one.variant}, {apart}", claim.network


def _against_bound(published_ms: float, bound: ComputeBounds, board: Board) -> _Row:
    """A latency below what the products alone take was not measured so."""
    clock, elements = board.clock_hz, bound.array[0] * bound.array[1]
    least = min(bound.bounds, key=lambda one: one.ideal_cycles)
    floors = ", ".join(f"{one.ideal_cycles / clock * 1e3:.2f}" for one in bound.bounds)
    ours = f"at least {least.ideal_cycles / clock * 1e3:.2f} ms on {_shape(bound.array)}"
    sets = f"products alone, one an element and cycle at {clock / 1e6:.0f} MHz: {floors} ms as algorithms are added"
    if published_ms >= least.ideal_cycles / clock * 1e3:
        return "", ours, POSSIBLE, f"not below that bound; {sets}", bound.network
    needed = bound.bounds[0].products / (published_ms / 1e3 * clock * elements)
    all_dsp = least.products / board.array_dsp / clock * 1e3
    why = (
        f"below every bound; {sets}; on all {board.array_dsp:,} DSPs {all_dsp:.2f} ms; it takes {needed:.2f} direct "
        f"products an element and cycle: {_percent(bound.line_share)} of them are in 1xn and nx1 kernels, "
        f"{_percent(bound.strided_share)} strided"
    )
    return "", ours, IMPOSSIBLE, why, bound.network


def _time(claim: Claim, published: Published, findings: Findings) -> Iterable[_Row]:  # noqa: ARG001 - as all
    assert claim.value is not None
    for time in findings.times:
        ours = f"mapping {_seconds(time.solve_s)}, all shapes {_seconds(time.search_s)}"
        outcome = MATCHES if time.solve_s < claim.value else DIFFERS
        more = "" if time.search_s < claim.value else f"; the search of all shapes takes longer than {claim.value:g} s"
        why = (
            f"medians of {time.solves} solves ({time.variables} variables) and {time.explorations} searches "
            f"({time.shapes:,} shapes){more}"
        )
        yield time.preset, ours, outcome, why, time.network


_JUDGES = {
    "strategies": _strategies,
    "series-parallel": _series_parallel,
    "speed-up": _speed_up,
    "array": _array,
    "latency": _latency,
    "optimisation-time": _time,
}


def _on_array(arrays: Sequence[ArrayResult], network: str, preset: str, array: tuple[int, int]) -> ArrayResult | None:
    for result in arrays:
        if (result.network, result.preset, result.array) == (network, preset, array):
            return result
    return None


def _shape(array: tuple[int, int]) -> str:
    return f"{array[0]}x{array[1]}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"
